import pytest

from schemas.errors import BucketMissing, ObjectDenied, StoreUnavailable
from storage.memory import MemoryStore

LIMITS = {"max_bytes": 100, "deadline_s": 1.0}


def stored(**options) -> MemoryStore:
    store = MemoryStore(["images"], **options)
    store.put("images", "a", b"1", content_type="text/plain", deadline_s=1.0)
    return store


def test_an_outage_ends_with_its_block():
    """Within the block every call says that the store is away; after it the objects are there again."""
    store = stored()
    with store.outage(), pytest.raises(StoreUnavailable):
        store.get("images", "a", **LIMITS)
    assert store.get("images", "a", **LIMITS).data == b"1"


def test_a_denied_object_is_refused_and_others_are_not():
    """`denied` is about one object."""
    store = stored()
    store.put("images", "b", b"2", content_type="text/plain", deadline_s=1.0)
    store.denied.add(("images", "b"))
    with pytest.raises(ObjectDenied):
        store.get("images", "b", **LIMITS)
    assert store.get("images", "a", **LIMITS).data == b"1"


def test_a_bucket_that_was_not_created_is_missing():
    """Allowed and existing are two things."""
    store = MemoryStore(["images"], create_buckets=False)
    with pytest.raises(BucketMissing):
        store.get("images", "a", **LIMITS)


def test_the_bytes_are_a_copy():
    """Changing the buffer after the put does not change the object."""
    store, buffer = stored(), bytearray(b"old")
    store.put("images", "c", buffer, content_type="text/plain", deadline_s=1.0)
    buffer[:] = b"new"
    assert store.get("images", "c", **LIMITS).data == b"old"
