"""The files of `classify` are read when they are needed, and nothing of them is kept."""

import pytest

from schemas.errors import ObjectRejected, ObjectTooLarge
from streams.cli.local_files import LocalFiles
from streams.settings import StoreSettings


def get(store, key, max_bytes=100):
    return store.get(store.bucket, key, max_bytes=max_bytes, deadline_s=1)


def test_a_file_is_read_when_it_is_fetched(tmp_path):
    """What lies there then, not what lay there at the start; read again each time."""
    path = tmp_path / "a"
    store = LocalFiles(StoreSettings(), [tmp_path / "none", path])
    path.write_bytes(b"one")
    assert get(store, "file-1").data == b"one"
    path.write_bytes(b"other")
    assert get(store, "file-1").data == b"other"


def test_a_file_that_is_too_large_or_not_to_be_read_is_rejected(tmp_path):
    """Deterministic, so not tried again; the text says why and names no path."""
    (tmp_path / "large").write_bytes(b"12345")
    store = LocalFiles(StoreSettings(), [tmp_path / "large", tmp_path / "gone"])
    with pytest.raises(ObjectTooLarge, match="more than 4 bytes"):
        get(store, "file-0", max_bytes=4)
    with pytest.raises(ObjectRejected, match=r"^the file cannot be read: No such file or directory$"):
        get(store, "file-1")


def test_an_overlay_is_kept_until_it_is_taken(tmp_path):
    """Then it is gone: ten thousand files must not fill the memory."""
    store = LocalFiles(StoreSettings(), [])
    store.put("deeptrace-overlays", "key", b"overlay", content_type="image/webp", deadline_s=1)
    assert store.take_overlay("key") == b"overlay"
    with pytest.raises(KeyError):
        store.take_overlay("key")
