import numpy as np
import pytest

from schemas.errors import CheckFailed
from training.audit import File, audit, canonical_crop
from training.corpus.build import CLASSES, build, on_cores
from training.corpus.files import jpeg, png
from training.recipe import audits


def noise(rng, *, height=240, width=256, mean=128):
    return np.clip(rng.normal(mean, 30, (height, width, 3)), 0, 255).astype(np.uint8)


def planted(encode):
    """Thirty groups of one file a class; `encode(rng, number of the class)` makes the file."""
    rng = np.random.default_rng(1)
    return [File(group, name, encode(rng, number)) for group in range(30) for number, name in enumerate(CLASSES)]


@pytest.mark.parametrize(
    ("shortcut", "encode"),
    [
        ("format", lambda rng, number: png(noise(rng)) if number else jpeg(noise(rng), 90)),
        ("size", lambda rng, number: png(noise(rng, width=240 + 8 * number))),
        ("tables", lambda rng, number: jpeg(noise(rng), 90 + number)),
        ("colour_contrast", lambda rng, number: png(noise(rng, mean=90 + 15 * number))),
        ("file_length", lambda rng, number: jpeg(noise(rng), 90) + b"\0" * 4000 * number),
    ],
)
def test_a_planted_shortcut_is_caught(shortcut, encode):
    """Each property that tells the class is found, and the build stops."""
    report = audit(planted(encode))
    assert report.accuracy[shortcut] > 0.35
    with pytest.raises(CheckFailed, match=shortcut):
        report.require_chance()


def test_files_that_differ_by_chance_pass():
    """With no shortcut the figures stay near one in five."""
    report = audit(planted(lambda rng, number: png(noise(rng))))
    assert report.chance == 0.2
    assert report.accuracy["format"] == report.accuracy["size"] == report.accuracy["tables"] == pytest.approx(0.2)


def test_a_group_never_judges_itself():
    """Sizes that are unique to a group tell nothing of other groups."""
    rng = np.random.default_rng(1)
    files = [File(group, name, png(noise(rng, width=225 + group))) for group in range(20) for name in CLASSES]
    assert audit(files).accuracy["size"] == pytest.approx(0.2)


def test_a_canonical_crop_has_one_format_size_and_table():
    """Small and large, JPEG and PNG: all leave as the same kind of file."""
    rng = np.random.default_rng(1)
    crops = [canonical_crop(data) for data in (png(noise(rng)), jpeg(noise(rng, height=100, width=600), 50))]
    report = audit([File(number, name, crop) for number, crop in enumerate(crops) for name in CLASSES[:2]])
    assert {report.accuracy[name] for name in ("format", "size", "tables")} == {0.5}


def test_the_canonical_corpus_passes_and_the_files_as_found_do_not():
    """This is the state that training rests on: the figures before show what canonicalisation takes away."""
    with on_cores(2) as ordered_map:
        found, canonical = audits(7, list(build(7, range(24), ordered_map)), ordered_map)
    canonical.require_chance()
    with pytest.raises(CheckFailed, match="format"):
        found.require_chance()
