"""What gets into the registry, and that it stays as it is."""

import hashlib
import json

import pytest

from schemas.errors import CheckFailed, CheckpointRefused, ReleaseMissing, StoreUnavailable, UsageError
from streams.releases.publishing import publish, read_report
from streams.releases.registry import MODEL, Registry

BUCKET = "deeptrace-models"


def keys(store):
    return [info.key for info in store.list(BUCKET)]


@pytest.fixture
def report(tmp_path, checkpoints):
    """A report card of the first checkpoint, with its HTML."""
    sha256 = hashlib.sha256(checkpoints["1.0"].read_bytes()).hexdigest()
    path = tmp_path / "report.json"
    path.write_text(
        json.dumps({"checkpoint": {"sha256": sha256}, "headline": {"macro_f1": 0.91, "note": "text", "flag": True}})
    )
    path.with_suffix(".html").write_text("<p>card</p>")
    return read_report(path)


def test_a_release_holds_weights_report_and_manifest(registry, store, checkpoints, report):
    """The manifest says what the checkpoint says of itself, under the version it was published as."""
    done = publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=report, note="first")
    prefix = "models/detector/1.0/"
    assert keys(store) == [
        f"{prefix}{name}" for name in ("manifest.json", "model.safetensors", "report.html", "report.json")
    ]
    release = registry.manifest("detector", "1.0")
    assert done.created
    assert release == done.release
    assert release.figures == {"macro_f1": 0.91}
    assert release.size_bytes == checkpoints["1.0"].stat().st_size
    assert (release.kind, release.preprocess_id, release.note) == ("trained", "crops1-224-native-v1", "first")


def test_without_a_version_it_is_the_checkpoints_own(registry, checkpoints):
    """As it was saved."""
    done = publish(registry, checkpoints["1.0"], model="detector", version=None, report=None)
    assert done.release.version == "file-1.0"


def test_the_same_again_changes_nothing(registry, store, checkpoints, report):
    """A script may be run twice; the time of the first publishing stays."""
    first = publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=report)
    second = publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=report)
    assert not second.created
    assert second.release == first.release


def test_a_version_is_never_published_with_other_bytes(registry, checkpoints, report):
    """Neither another checkpoint nor another report card."""
    publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=report)
    with pytest.raises(CheckFailed, match="is taken"):
        publish(registry, checkpoints["1.1"], model="detector", version="1.0", report=None)
    with pytest.raises(CheckFailed, match="is taken"):
        publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=None)


class StoreThatDies(Registry):
    """Stores the weights, then the store is away."""

    def write(self, model, version, file, data, content_type):
        if file != MODEL:
            raise StoreUnavailable("the object store does not answer")
        super().write(model, version, file, data, content_type)


def test_a_publish_that_was_interrupted_left_no_release_and_can_be_repeated(registry, store, checkpoints):
    """The manifest comes last; with other bytes the version stays taken."""
    with pytest.raises(StoreUnavailable):
        publish(StoreThatDies(store, BUCKET), checkpoints["1.0"], model="detector", version="1.0", report=None)
    with pytest.raises(ReleaseMissing):
        registry.manifest("detector", "1.0")
    with pytest.raises(CheckFailed, match="is taken"):
        publish(registry, checkpoints["1.1"], model="detector", version="1.0", report=None)
    assert publish(registry, checkpoints["1.0"], model="detector", version="1.0", report=None).created


def test_what_does_not_load_is_not_stored(registry, store, tmp_path):
    """A worker would refuse it as well."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(CheckpointRefused):
        publish(registry, path, model="detector", version="1.0", report=None)
    assert keys(store) == []


def test_a_report_card_of_another_checkpoint_is_refused(registry, store, checkpoints, report):
    """Its figures would be believed."""
    with pytest.raises(CheckFailed, match="of another checkpoint"):
        publish(registry, checkpoints["1.1"], model="detector", version="1.1", report=report)
    assert keys(store) == []


@pytest.mark.parametrize("version", ["champion", "aliases", "1/2", ""])
def test_a_version_that_cannot_be_one_is_refused(version, registry, checkpoints):
    """An alias is not a version, and an empty one is the checkpoint's own."""
    if not version:
        assert publish(registry, checkpoints["1.0"], model="d", version="", report=None).release.version == "file-1.0"
        return
    with pytest.raises(UsageError, match="not a version"):
        publish(registry, checkpoints["1.0"], model="detector", version=version, report=None)


def test_a_file_that_is_no_report_card_is_refused(tmp_path):
    """With what to give instead."""
    for content in ("no json", "[]"):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(UsageError, match="report card"):
            read_report(tmp_path / "report.json")
