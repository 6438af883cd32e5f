from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import CheckFailed, UsageError
from training.audit import audit_manifest
from training.corpus.build import CLASSES, on_cores
from training.corpus.files import jpeg, png
from training.corpus.writing import CorpusOrder, write_corpus
from training.labelled import labelled_rows
from training.manifest import Manifest, Row
from training.manifest_build import build_manifest

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared pictures are not at {SHARED}")


def noise(rng, *, height=240, width=256, mean=128):
    return np.clip(rng.normal(mean, 30, (height, width, 3)), 0, 255).astype(np.uint8)


def written(root, encode, groups=12):
    """A file a class in each group; `encode(rng, number of the class)` makes it."""
    rng = np.random.default_rng(1)
    rows = []
    for group in range(groups):
        for number, label in enumerate(CLASSES):
            file = f"{group}_{label}"
            (root / file).write_bytes(encode(rng, number))
            rows.append(Row(file=file, label=label, group=f"g{group}", split="train"))
    return Manifest(root, tuple(rows))


@pytest.mark.parametrize(
    ("shortcut", "encode"),
    [
        ("format", lambda rng, number: png(noise(rng)) if number else jpeg(noise(rng), 90)),
        ("size", lambda rng, number: png(noise(rng, width=240 + 8 * number))),
        ("tables", lambda rng, number: jpeg(noise(rng), 90 + number)),
        ("file_length", lambda rng, number: jpeg(noise(rng), 90) + b"\0" * 4000 * number),
    ],
)
def test_what_only_the_container_tells_is_gone_from_canonical_crops(tmp_path, shortcut, encode):
    """Before, the shortcut is caught; after, every file has one format, size and table, and its length is content's."""
    tried = audit_manifest(written(tmp_path, encode), map)
    assert shortcut in tried.as_found.caught()
    assert shortcut not in tried.canonical.caught()


def test_colour_survives_and_stops_the_training(tmp_path):
    """A property of the pixels cannot be stripped: the audit refuses, names it and says what to do."""
    tried = audit_manifest(written(tmp_path, lambda rng, number: png(noise(rng, mean=90 + 15 * number))), map)
    with pytest.raises(CheckFailed, match=r"colour_contrast .*, where chance is 0.200 \(n = 60, 12 groups\)") as caught:
        tried.canonical.require_chance()
    assert caught.value.exit_code == 3
    assert "do not train" in caught.value.remedy


def test_files_that_differ_by_chance_pass(tmp_path):
    """No shortcut, no complaint."""
    tried = audit_manifest(written(tmp_path, lambda rng, _: png(noise(rng))), map)
    tried.canonical.require_chance()
    assert (tried.canonical.n, tried.canonical.groups, tried.canonical.chance, tried.unreadable) == (60, 12, 0.2, 0)


def test_a_small_image_is_mirrored_not_told_by_its_size(tmp_path):
    """One class is smaller than a crop: its canonical size is that of all."""
    listed = written(tmp_path, lambda rng, number: png(noise(rng, height=150 if number == 2 else 240)))
    tried = audit_manifest(listed, map)
    assert "size" in tried.as_found.caught()
    assert tried.canonical.accuracy["size"] == pytest.approx(0.2)


def test_only_what_is_trained_or_judged_by_is_audited(tmp_path):
    """A held-out split may look as it likes."""
    listed = written(tmp_path, lambda rng, number: png(noise(rng, mean=90 + 15 * number)))
    split = listed.with_rows(replace(row, split="later" if row.label == "flux" else "test") for row in listed.rows)
    assert audit_manifest(split, map).canonical.n == 48
    unsplit = listed.with_rows(replace(row, split="") for row in listed.rows)
    assert audit_manifest(unsplit, map).canonical.n == 60


def test_a_large_set_is_audited_in_part_by_whole_groups(tmp_path):
    """Twenty images asked for: four groups of five, the same ones for the same seed."""
    listed = written(tmp_path, lambda rng, _: png(noise(rng)))
    one, again = (audit_manifest(listed, map, most=20, seed=5) for _ in range(2))
    assert (one.canonical.n, one.canonical.groups) == (20, 4)
    assert one == again


def test_a_file_that_cannot_be_read_is_counted(tmp_path):
    """Gone or broken since it was listed."""
    listed = written(tmp_path, lambda rng, _: png(noise(rng)))
    (tmp_path / "0_flux").unlink()
    (tmp_path / "1_flux").write_bytes(b"no")
    tried = audit_manifest(listed, map)
    assert (tried.unreadable, tried.canonical.n) == (2, 58)


def test_one_class_cannot_be_audited(tmp_path):
    """The error says how to get more."""
    listed = written(tmp_path, lambda rng, _: png(noise(rng)), groups=2)
    with pytest.raises(UsageError, match="fewer than two classes"):
        audit_manifest(listed.with_rows(listed.rows[:1]), map)


def test_the_report_goes_into_json(tmp_path):
    """Plain values, with n, chance and what was caught."""
    plain = audit_manifest(
        written(tmp_path, lambda rng, number: png(noise(rng, width=240 + 8 * number))), map
    ).as_dict()
    assert plain["as_found"]["shortcuts"]["size"] == {"accuracy": 1.0, "p_value": 0.001}
    assert "size" in plain["as_found"]["caught"]
    assert plain["canonical"]["caught"] == []
    assert (plain["canonical"]["n"], plain["canonical"]["chance"], plain["unreadable"]) == (60, 0.2, 0)


def simulated(root, *, as_found):
    with on_cores(2) as ordered_map:
        scenes = list(write_corpus(CorpusOrder(7, {"train": 10}, as_found=as_found), root, ordered_map))
    return Manifest(root, tuple(row for rows in scenes for row in rows))


def test_the_simulated_corpus_passes(tmp_path):
    """This is the state that training rests on: not even the files as they lie there give a class away."""
    tried = audit_manifest(simulated(tmp_path, as_found=False), map)
    tried.canonical.require_chance()
    tried.as_found.require_chance()


def test_simulated_files_as_platforms_find_them_do_not_pass(tmp_path):
    """The same scenes with each class's habits of format and size: this is what canonicalisation takes away."""
    tried = audit_manifest(simulated(tmp_path, as_found=True), map)
    assert "format" in tried.as_found.caught()
    assert [tried.canonical.accuracy[name] for name in ("format", "size", "tables")] == [pytest.approx(0.2)] * 3


@pytest.fixture(scope="module")
def true_images():
    rows = labelled_rows(SHARED / "manifest.csv", relative_to=SHARED, role="pixel")
    return build_manifest(rows, SHARED, near_duplicate_bits=6).manifest


@needs_shared
def test_true_images_as_found_give_themselves_away(true_images):
    """With images judged by any other, format alone is right three times as often as chance, and a repository is a class."""
    loose = true_images.with_rows(replace(row, group="", near="") for row in true_images.rows)
    tried = audit_manifest(loose, map)
    assert tried.as_found.chance == 0.2
    assert tried.as_found.accuracy["format"] > 0.5
    assert {"format", "size", "source"} <= tried.as_found.caught().keys()
    assert tried.canonical.accuracy["format"] == tried.canonical.accuracy["size"] == pytest.approx(0.2)
    with pytest.raises(CheckFailed, match=r"source 1\.000"):
        tried.canonical.require_chance()


@needs_shared
def test_true_images_split_by_repository_have_no_shortcut_left(true_images):
    """The repository is held out as a whole, and canonical crops have one format and size: nothing is left that beats luck."""
    audit_manifest(true_images, map).canonical.require_chance()
