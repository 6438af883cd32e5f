"""The drift bucket on a real MinIO with the users that `deeptrace storage policies` describes: one sets references, the worker only reads them."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from schemas.errors import ObjectDenied, StoreUnavailable
from schemas.reference import CurrentReference, DriftReference, ReferenceSource
from storage.minio_store import MinioStore
from storage.policies import set_references, watch_drift
from streams.drift.metrics import DriftMetrics
from streams.drift.reference_shelf import ReferenceShelf
from streams.drift.references import StoredReferences
from streams.drift.reports.content import Rendered
from streams.drift.reports.placing import put_report, report_object

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]  # MinIO may have to be built

SECRET = "a-secret-of-the-test"
MADE = datetime(2026, 11, 25, 3, 30, tzinfo=UTC)
VERSION = "20261125T033000000Z-aaaaaaaa"
REFERENCE = DriftReference(
    version=VERSION,
    tenant="acme",
    made=MADE,
    source=ReferenceSource(kind="windows"),
    shares={"real": 0.75, "flux": 0.25},
    images=1000,
)
CHOICE = CurrentReference(tenant="acme", version=VERSION, set_at=MADE)
REPORT = Rendered(html=b"<p>", json=b"{}")


@pytest.fixture
def users(minio) -> Iterator[tuple[dict[str, MinioStore], str]]:
    """Return stores of who sets references and of the worker, and the drift bucket."""
    bucket = f"drift-{secrets.token_hex(6)}"
    admin = MinioAdmin(
        endpoint=minio.endpoint, credentials=StaticProvider(minio.access_key, minio.secret_key), secure=False
    )
    keys = {"admin": (minio.access_key, minio.secret_key)}
    for user, policy in (("setter", set_references(bucket)), ("worker", watch_drift(bucket, reports=True))):
        name = f"{user}-{bucket}"
        admin.user_add(name, SECRET)
        admin.policy_add(name, policy=policy)
        admin.attach_policy([name], user=name)
        keys[user] = (name, SECRET)
    stores = {
        user: MinioStore(minio.endpoint, access_key=access, secret_key=secret, secure=False, allowed_buckets=[bucket])
        for user, (access, secret) in keys.items()
    }
    stores["admin"].ensure_bucket(bucket)
    yield stores, bucket
    for store in stores.values():
        store.close()


async def test_each_user_can_do_its_own_part_and_no_more(users):
    """The worker follows the reference and writes reports; it can neither write a reference nor choose one, and nobody deletes any."""
    stores, bucket = users
    setter, worker = (ReferenceShelf(stores[user], bucket) for user in ("setter", "worker"))
    assert setter.put(REFERENCE)
    assert not setter.put(REFERENCE)
    setter.use(CHOICE)
    known = StoredReferences(None, worker, refresh_s=60, metrics=DriftMetrics())
    await known.look()
    assert known.of("acme").version == VERSION
    put_report(stores["worker"], report_object(bucket, "acme", "w1"), REPORT)
    for forbidden in (lambda: worker.put(REFERENCE), lambda: worker.use(CHOICE)):
        with pytest.raises(StoreUnavailable, match="refuses the bucket of the drift references"):
            forbidden()
    with pytest.raises(ObjectDenied):
        stores["setter"].delete(bucket, f"references/acme/{VERSION}.json")
    await known.stop()
