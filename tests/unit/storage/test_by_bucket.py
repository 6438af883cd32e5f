"""Buckets of different users: each request goes to the store its bucket belongs to, and to no other."""

import pytest

from schemas.errors import BucketForbidden, ObjectNotFound, StoreUnavailable
from storage.by_bucket import ByBucket
from storage.memory import MemoryStore

PUT = {"content_type": "text/plain", "deadline_s": 1}
GET = {"max_bytes": 9, "deadline_s": 1}


@pytest.fixture
def stores():
    """Two users who may each use both buckets, as far as the server is concerned."""
    return MemoryStore(["images", "results"]), MemoryStore(["images", "results"])


def test_each_bucket_has_its_own_store(stores):
    """What is put into a bucket lies with its owner, and with nobody else."""
    images, results = stores
    store = ByBucket({"images": images, "results": results})
    store.put("images", "k", b"image", **PUT)
    store.put_if_absent("results", "k", b"result", **PUT)
    assert images.get("images", "k", **GET).data == b"image"
    assert results.get("results", "k", **GET).data == b"result"
    with pytest.raises(ObjectNotFound):
        results.get("images", "k", **GET)
    with pytest.raises(ObjectNotFound):
        images.get("results", "k", **GET)


def test_a_bucket_of_nobody_is_forbidden(stores):
    """Even where one of the stores would know it."""
    store = ByBucket({"images": stores[0]})
    with pytest.raises(BucketForbidden):
        store.get("results", "k", **GET)


def test_closing_it_closes_all(stores):
    """No connection is left behind."""
    closed = []

    class Closing(MemoryStore):
        def close(self):
            closed.append(self)

    images, results = Closing(["images"]), Closing(["results"])
    ByBucket({"images": images, "results": results}).close()
    assert closed == [images, results]


def test_an_outage_of_one_is_none_of_the_other(stores):
    """The error is the owner's, as it is."""
    images, results = stores
    store = ByBucket({"images": images, "results": results})
    with results.outage(), pytest.raises(StoreUnavailable):
        store.put("results", "k", b"x", **PUT)
    with results.outage():
        store.put("images", "k", b"x", **PUT)
