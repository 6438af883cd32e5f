"""References in the object store, and what the drift worker knows of them."""

from datetime import UTC, datetime

import pytest

from schemas.errors import BucketMissing, ReferenceCorrupt, ReferenceMissing, StoreUnavailable
from schemas.reference import CurrentReference, DriftReference, ReferenceSource
from storage.memory import MemoryStore
from streams.drift.metrics import DriftMetrics
from streams.drift.reference import Reference
from streams.drift.reference_shelf import ReferenceShelf, in_use_for
from streams.drift.references import StoredReferences
from streams.settings import DriftSettings, Settings

BUCKET = "drift"
MADE = datetime(2026, 11, 25, 3, 30, tzinfo=UTC)
ONE, TWO = "20261125T033000000Z-aaaaaaaa", "20261126T033000000Z-bbbbbbbb"


def reference(version: str = ONE, tenant: str = "*", real: float = 0.75) -> DriftReference:
    return DriftReference(
        version=version,
        tenant=tenant,
        made=MADE,
        source=ReferenceSource(kind="windows", windows=3, window="1h"),
        shares={"real": real, "flux": 1 - real},
        images=1000,
    )


def store(shelf: ReferenceShelf, *references: DriftReference) -> None:
    for one in references:
        shelf.put(one)
        shelf.use(CurrentReference(tenant=one.tenant, version=one.version, set_at=MADE))


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore([BUCKET])


@pytest.fixture
def shelf(memory) -> ReferenceShelf:
    return ReferenceShelf(memory, BUCKET)


@pytest.fixture
def known(shelf) -> StoredReferences:
    return StoredReferences(None, shelf, refresh_s=60, metrics=DriftMetrics())


def test_versions_are_kept_and_one_is_in_use(shelf):
    """Choosing an older one again changes nothing but the choice."""
    store(shelf, reference(ONE), reference(TWO, real=0.5))
    assert shelf.versions("*") == [ONE, TWO]
    assert shelf.current("*").version == TWO
    shelf.use(CurrentReference(tenant="*", version=ONE, set_at=MADE))
    assert shelf.current("*") == reference(ONE)
    assert shelf.versions("*") == [ONE, TWO]


def test_keys_are_those_that_are_documented(shelf, memory):
    """`_all` for all tenants, since no tenant can be called so."""
    store(shelf, reference(), reference(tenant="acme"))
    assert [info.key for info in memory.list(BUCKET)] == [
        f"references/_all/{ONE}.json",
        "references/_all/current.json",
        f"references/acme/{ONE}.json",
        "references/acme/current.json",
    ]


def test_a_version_is_never_replaced(shelf):
    """The same bytes again are no fault; others are."""
    assert shelf.put(reference())
    assert not shelf.put(reference())
    with pytest.raises(ReferenceCorrupt, match="another reference"):
        shelf.put(reference(real=0.1))
    assert shelf.get("*", ONE) == reference()


def test_what_is_missing_is_said(shelf):
    """With the command that makes one."""
    with pytest.raises(ReferenceMissing, match="tenant acme") as caught:
        shelf.current("acme")
    assert "reference build" in caught.value.remedy
    with pytest.raises(ReferenceMissing):
        shelf.get("*", TWO)


def test_a_reference_that_lies_under_another_name_is_not_believed(shelf, memory):
    """Somebody copied an object."""
    data = reference(tenant="other").to_bytes()
    memory.put(BUCKET, f"references/acme/{ONE}.json", data, content_type="application/json", deadline_s=1)
    with pytest.raises(ReferenceCorrupt, match="another's"):
        shelf.get("acme", ONE)


@pytest.mark.parametrize("data", [b"{", b'{"version": "x"}', reference().to_bytes().replace(b"0.75", b"0.95")])
def test_what_cannot_be_read_is_said(shelf, memory, data):
    """Not JSON, not whole, or of shares that do not sum to 1."""
    memory.put(BUCKET, f"references/_all/{ONE}.json", data, content_type="application/json", deadline_s=1)
    with pytest.raises(ReferenceCorrupt, match="cannot be read"):
        shelf.get("*", ONE)


def test_no_bucket_names_the_remedy():
    """The service is older than its buckets."""
    shelf = ReferenceShelf(MemoryStore([BUCKET], create_buckets=False), BUCKET)
    with pytest.raises(BucketMissing) as caught:
        shelf.current("*")
    assert "storage init" in caught.value.remedy


def test_a_refusal_is_not_taken_for_no_reference(shelf, memory):
    """Denied is not missing: the reference of all must not stand in for a tenant's own."""
    store(shelf, reference(), reference(tenant="acme"))
    memory.denied.add((BUCKET, "references/acme/current.json"))
    with pytest.raises(StoreUnavailable, match="refuses"):
        in_use_for(shelf, "acme")


def test_the_own_reference_comes_before_that_of_all(shelf):
    """A tenant without one has that of all."""
    store(shelf, reference(), reference(TWO, tenant="acme", real=0.5))
    assert in_use_for(shelf, "acme").version == TWO
    assert in_use_for(shelf, "other").version == ONE


async def test_nothing_is_known_before_the_first_look(known, shelf):
    """And each tenant's own after it, else that of all tenants."""
    store(shelf, reference(), reference(TWO, tenant="acme", real=0.5))
    assert known.of("acme") is None
    await known.look()
    assert known.of("acme").version == TWO
    assert known.of("other") == Reference({"real": 0.75, "flux": 0.25}, version=ONE)
    assert known.of("*").version == ONE


async def test_another_choice_is_taken_up(known, shelf):
    """At the next look."""
    store(shelf, reference())
    await known.look()
    store(shelf, reference(TWO, real=0.5))
    await known.look()
    assert known.of("acme").version == TWO


async def test_while_the_store_is_away_the_known_one_stays(known, shelf, memory):
    """That is counted and raised nowhere."""
    store(shelf, reference())
    await known.look()
    with memory.outage():
        await known.look()
    assert known.of("acme").version == ONE
    assert known._metrics.reference_reads.labels("store_unavailable")._value.get() == 1


async def test_a_reference_that_cannot_be_read_changes_nothing_else(known, shelf, memory):
    """The tenant keeps what it had, the others get what is new."""
    store(shelf, reference(), reference(tenant="acme"))
    await known.look()
    store(shelf, reference(TWO), reference(TWO, tenant="acme"))
    memory.put(BUCKET, f"references/acme/{TWO}.json", b"{", content_type="application/json", deadline_s=1)
    await known.look()
    assert known.of("acme").version == ONE
    assert known.of("other").version == TWO
    assert known._metrics.reference_reads.labels("reference_corrupt")._value.get() == 1


class Hangs(MemoryStore):
    """Lists objects and gives none, as a store that hangs in the middle of a look; counts how often it was asked."""

    asked = 0

    def get(self, *_, **__):
        """Answer as after the deadline."""
        self.asked += 1
        raise StoreUnavailable("no answer in time")


async def test_a_store_that_hangs_is_not_asked_for_every_tenant():
    """Each would cost its deadline, hours of a thread that the worker's end waits for."""
    memory = Hangs([BUCKET])
    for number in range(50):
        current = CurrentReference(tenant=f"t{number}", version=ONE, set_at=MADE)
        memory.put(BUCKET, f"references/t{number}/current.json", current.to_bytes(), content_type="", deadline_s=1)
    await StoredReferences(None, ReferenceShelf(memory, BUCKET), refresh_s=60, metrics=DriftMetrics()).look()
    assert memory.asked == 3


async def test_a_tenant_whose_choice_is_deleted_has_that_of_all(known, shelf, memory):
    """Deleting `current.json` is how one gives up a reference."""
    store(shelf, reference(), reference(TWO, tenant="acme"))
    await known.look()
    memory.delete(BUCKET, "references/acme/current.json")
    await known.look()
    assert known.of("acme").version == ONE


async def test_the_reference_of_the_settings_wins():
    """For every tenant, and no store is needed then: none is configured here."""
    settings = Settings(drift=DriftSettings(reference={"real": 0.75, "flux": 0.25}))
    known = StoredReferences.of_settings(settings, DriftMetrics())
    await known.start()
    assert known.of("acme") == known.of("*") == Reference({"real": 0.75, "flux": 0.25})
    await known.stop()


async def test_a_worker_without_a_key_for_the_store_has_no_reference():
    """It counts windows as ever, and says so once."""
    known = StoredReferences.of_settings(Settings(), DriftMetrics())
    await known.start()
    assert known.of("acme") is None
    await known.stop()


async def test_start_waits_for_the_first_answer(known, shelf):
    """A window that closes at once is compared."""
    store(shelf, reference())
    await known.start()
    assert known.of("acme").version == ONE
    await known.stop()
