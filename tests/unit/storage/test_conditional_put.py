import threading

import pytest

from schemas.errors import StoreConflict, StoreUnavailable, StoreUnsupported
from storage.conditional_put import conditional_put_works
from storage.memory import MemoryStore


class IgnoresTheCondition(MemoryStore):
    """Like S3Proxy 2.6.0: `If-None-Match` is not looked at."""

    def put_if_absent(self, bucket, key, data, **options):
        return self.put(bucket, key, data, **options)


class LetsTwoWin(MemoryStore):
    """Like S3Proxy 3.1.0: looks first and writes later, so that two writers of a race get through; later ones do not."""

    def __init__(self, buckets):
        super().__init__(buckets)
        self.both_looked = threading.Barrier(2)
        self.writers = 0

    def put_if_absent(self, bucket, key, data, **options):
        with self._lock:
            self.writers += 1
            mine = self.writers
        if mine > 2:
            raise StoreConflict("taken")
        self.both_looked.wait()
        return self.put(bucket, key, data, **options)


class ForgetsTheWinner(MemoryStore):
    """Answers rightly and keeps the bytes of the last loser."""

    def put_if_absent(self, bucket, key, data, **options):
        try:
            return super().put_if_absent(bucket, key, data, **options)
        except StoreConflict:
            self.put(bucket, key, data, **options)
            raise


class LetsALateOneWin(MemoryStore):
    """Keeps the promise among writers at once, and forgets it afterwards."""

    def __init__(self, buckets):
        super().__init__(buckets)
        self.writers = 0

    def put_if_absent(self, bucket, key, data, **options):
        with self._lock:
            self.writers += 1
            return (super().put_if_absent if self.writers <= 8 else self.put)(bucket, key, data, **options)


class KnowsNoCondition(MemoryStore):
    """Says so."""

    def put_if_absent(self, bucket, key, data, **options):
        raise StoreUnsupported("501")


def test_a_store_that_keeps_the_promise_passes():
    """The in-memory store has a working conditional put."""
    assert conditional_put_works(MemoryStore(["b"]), "b") is True


@pytest.mark.parametrize("kind", [IgnoresTheCondition, LetsTwoWin, ForgetsTheWinner, LetsALateOneWin, KnowsNoCondition])
def test_a_store_that_breaks_the_promise_is_found_out(kind):
    """Each known way of breaking it gives False."""
    assert conditional_put_works(kind(["b"]), "b") is False


def test_the_probe_leaves_nothing_behind():
    """The probe object is deleted."""
    store = MemoryStore(["b"])
    conditional_put_works(store, "b")
    assert list(store.list("b")) == []


def test_a_store_that_is_away_says_nothing_about_the_promise():
    """An outage is not a broken server."""
    store = MemoryStore(["b"])
    with store.outage(), pytest.raises(StoreUnavailable):
        conditional_put_works(store, "b")
