"""The registry on a real MinIO with the users that `deeptrace storage policies` describes: one publishes, one only reads."""

import secrets

import pytest
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin
from support.tiny_release import write_checkpoint

from schemas.errors import ObjectDenied, StoreUnavailable
from storage.minio_store import MinioStore
from storage.policies import publish_models, read_images
from streams.releases.name import ReleaseName
from streams.releases.promotion import promote, roll_back
from streams.releases.publishing import publish
from streams.releases.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]  # MinIO may have to be built

SECRET = "a-secret-of-the-test"


@pytest.fixture
def users(minio):
    """Return stores of the administrator, the publisher and the worker, and the bucket of the models."""
    bucket = f"models-{secrets.token_hex(6)}"
    keys = {"admin": (minio.access_key, minio.secret_key)}
    admin = MinioAdmin(
        endpoint=minio.endpoint, credentials=StaticProvider(minio.access_key, minio.secret_key), secure=False
    )
    for user, policy in (("publisher", publish_models(bucket)), ("worker", read_images([], model_bucket=bucket))):
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


def test_each_user_can_do_its_own_part_and_no_more(users, tmp_path):
    """The publisher adds and deletes nothing; the worker follows and adds nothing."""
    stores, bucket = users
    publisher, worker = (Registry(stores[user], bucket) for user in ("publisher", "worker"))
    made = []
    for seed, version in enumerate(("1.0", "1.1")):
        path = tmp_path / f"{version}.safetensors"
        write_checkpoint(path, seed=seed, version=version)
        made.append(publish(publisher, path, model="detector", version=version, report=None).release)
        promote(publisher, made[-1], "champion")
    assert worker.resolve(ReleaseName("detector", alias="champion")) == made[1]
    assert worker.fetch(made[1], tmp_path).stat().st_size == made[1].size_bytes
    assert roll_back(publisher, "detector", "champion").version == "1.0"
    assert worker.resolve(ReleaseName("detector", alias="champion")) == made[0]
    with pytest.raises(StoreUnavailable, match="refuses the bucket of the models"):
        promote(worker, made[1], "champion")
    with pytest.raises(ObjectDenied):
        stores["publisher"].delete(bucket, "models/detector/1.0/model.safetensors")
