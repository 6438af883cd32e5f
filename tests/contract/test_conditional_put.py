"""First writer wins, on every store that DeepTrace may run with; a failure names the server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from schemas.errors import (
    StoreConflict,
)
from storage.conditional_put import conditional_put_works


def test_the_first_writer_wins(server):
    """The second is told so, and changes nothing."""
    server.put_if_absent("k", b"first")
    with pytest.raises(StoreConflict):
        server.put_if_absent("k", b"second")
    assert server.get("k").data == b"first"


def test_a_plain_put_also_takes_the_key(server):
    """The condition is on the object, whoever wrote it."""
    server.put("k", b"first")
    with pytest.raises(StoreConflict):
        server.put_if_absent("k", b"second")


def test_a_deleted_key_is_free_again(server):
    """Also where a delete marker hides old versions."""
    server.put_if_absent("k", b"first")
    server.store.delete(server.bucket, "k")
    server.put_if_absent("k", b"second")
    assert server.get("k").data == b"second"


def test_an_empty_object_takes_its_key(server):
    """Nought bytes are an object."""
    server.put_if_absent("k", b"")
    with pytest.raises(StoreConflict):
        server.put_if_absent("k", b"second")


def test_of_sixteen_writers_at_once_exactly_one_wins(server):
    """In every one of ten races, and what is stored is the winner's."""
    writers = 16

    def write(key: str, start: threading.Barrier, number: int) -> bytes | None:
        data = f"writer {number}".encode() * 1000
        start.wait(10)
        try:
            server.put_if_absent(key, data)
        except StoreConflict:
            return None
        return data

    with ThreadPoolExecutor(writers) as pool:
        for race in range(10):
            key, start = f"race/{race}", threading.Barrier(writers)
            won = [data for data in pool.map(partial(write, key, start), range(writers)) if data is not None]
            assert len(won) == 1, (
                f"conditional put is broken on {server.name}: {len(won)} of {writers} writers won race {race}"
            )
            assert server.get(key).data == won[0], f"{server.name} keeps another writer's bytes than the winner's"


def test_the_probe_finds_conditional_put_working(server):
    """What a worker asks at start-up; it leaves no object behind."""
    assert conditional_put_works(server.store, server.bucket), f"conditional put is broken on {server.name}"
    assert server.keys() == []
