"""What the registry answers when its bucket is not as it should be."""

import pytest

from schemas.errors import BucketMissing, ReleaseCorrupt, ReleaseMissing, StoreUnavailable
from storage.memory import MemoryStore
from streams.releases.registry import Registry

BUCKET = "deeptrace-models"


def test_models_and_releases_are_listed_the_oldest_first(registry, published):
    """By the moment of publishing, not by the text of the version."""
    assert registry.models() == ["detector"]
    assert [release.version for release in registry.releases("detector")] == list(published)


def test_a_release_is_found_by_its_hash(registry, published):
    """As `verify` looks for the model of a verdict."""
    assert registry.with_sha256(published["1.1"].sha256) == published["1.1"]
    assert registry.with_sha256("0" * 64) is None


def test_an_unknown_version_says_what_there_is_to_do(registry):
    """Not an empty answer."""
    with pytest.raises(ReleaseMissing) as caught:
        registry.manifest("detector", "9.9")
    assert "model list" in caught.value.remedy


def test_a_manifest_in_the_wrong_folder_is_refused(registry, store, published):
    """Copied by hand."""
    data = store.get(BUCKET, "models/detector/1.0/manifest.json", max_bytes=9999, deadline_s=1).data
    store.put(BUCKET, "models/detector/2.0/manifest.json", data, content_type="x", deadline_s=1)
    with pytest.raises(ReleaseCorrupt, match="another release's"):
        registry.manifest("detector", "2.0")


@pytest.mark.parametrize("content", [b"{", b"x" * (300 * 1024)], ids=["broken", "huge"])
def test_a_manifest_that_cannot_be_read_is_refused(content, registry, store):
    """Also one that is too large to be one."""
    store.put(BUCKET, "models/detector/1.0/manifest.json", content, content_type="x", deadline_s=1)
    with pytest.raises(ReleaseCorrupt, match="cannot be read"):
        registry.manifest("detector", "1.0")


def test_weights_that_have_grown_are_not_read_whole(registry, store, published, tmp_path):
    """The manifest says how many bytes there are."""
    key = "models/detector/1.0/model.safetensors"
    store.put(BUCKET, key, b"x" * (published["1.0"].size_bytes + 1), content_type="x", deadline_s=1)
    with pytest.raises(ReleaseCorrupt, match="too large"):
        registry.fetch(published["1.0"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_away_or_refuses_is_down_for_the_registry(registry, store, published):
    """Neither says anything of the release."""
    with store.outage(), pytest.raises(StoreUnavailable):
        registry.manifest("detector", "1.0")
    store.denied.add((BUCKET, "models/detector/1.0/manifest.json"))
    with pytest.raises(StoreUnavailable) as caught:
        registry.manifest("detector", "1.0")
    assert "storage policies models" in caught.value.remedy


def test_a_missing_bucket_says_so():
    """Nobody has run `storage init` since this release."""
    with pytest.raises(BucketMissing, match="bucket of the models"):
        Registry(MemoryStore({BUCKET}, create_buckets=False), BUCKET).models()
