import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from schemas.errors import UsageError
from training.corpus.files import jpeg, png, webp
from training.labelled import labelled_rows
from training.manifest import read_manifest, write_manifest
from training.manifest_build import build_manifest, write_refused


def picture(seed, size=(64, 48)):
    rng = np.random.default_rng(seed)
    return np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    )


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def build(root):
    return build_manifest(labelled_rows(root, relative_to=root), root, near_duplicate_bits=6, processes=1)


SOUND = {"real/1.jpg": jpeg(picture(1), 90), "flux/2.webp": webp(picture(2), 90)}


def test_a_row_says_what_the_file_is(tmp_path):
    """Hash, length, size and format are measured, whatever the name says."""
    write(tmp_path, {**SOUND, "flux/wrong_name.jpg": png(picture(3, (80, 60)))})
    built = build(tmp_path)
    row = next(row for row in built.manifest.rows if row.file == "flux/wrong_name.jpg")
    assert (row.format, row.width, row.height) == ("PNG", 80, 60)
    data = (tmp_path / row.file).read_bytes()
    assert (row.sha256, row.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert not built.refused


def test_a_manifest_reads_back_as_it_was_written(tmp_path):
    """Including names with commas and quotes."""
    write(tmp_path, {**SOUND, 'real/a, "b".png': png(picture(4))})
    built = build(tmp_path).manifest
    write_manifest(tmp_path / "manifest.csv", built)
    assert read_manifest(tmp_path / "manifest.csv") == built


def test_what_cannot_be_read_is_listed_with_its_reason(tmp_path):
    """Cut short, empty, text, another format: none is fatal."""
    write(
        tmp_path,
        {
            **SOUND,
            "real/cut.jpg": SOUND["real/1.jpg"][:300],
            "real/empty.jpg": b"",
            "real/notes.txt": b"hello",
            "real/old.bmp": b"BM" + b"\0" * 100,
        },
    )
    os.mkfifo(tmp_path / "real/pipe.jpg")
    built = build(tmp_path)
    assert {row.file for row in built.manifest.rows} == set(SOUND)
    reasons = {one.file: one.reason for one in built.refused}
    assert reasons.keys() == {f"real/{name}" for name in ("cut.jpg", "empty.jpg", "notes.txt", "old.bmp", "pipe.jpg")}
    assert reasons["real/old.bmp"] == "BMP is not decoded: only JPEG, PNG, WEBP, GIF, AVIF are"
    assert reasons["real/pipe.jpg"] == "not a regular file"


def test_a_picture_too_large_costs_nothing(tmp_path):
    """A header that promises 3.6 gigapixels is believed, and refused at once."""
    bomb = bytearray(png(picture(1)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    write(tmp_path, {**SOUND, "real/bomb.png": bytes(bomb)})
    (refused,) = build(tmp_path).refused
    assert refused.reason == "the image is too large to decode: at most 40000000 pixels are decoded"


def test_near_duplicates_share_a_group_across_names_and_formats(tmp_path):
    """The same picture as JPEG, WebP and in half the size; another one stays alone."""
    half = np.asarray(Image.fromarray(picture(1, (256, 192))).resize((128, 96)))
    write(
        tmp_path,
        {
            "real/1.jpg": jpeg(picture(1, (256, 192)), 90),
            "real/copy.webp": webp(picture(1, (256, 192)), 80),
            "flux/half.png": png(half),
            "flux/other.png": png(picture(2)),
        },
    )
    near = {row.file: row.near for row in build(tmp_path).manifest.rows}
    assert near["real/1.jpg"] == near["real/copy.webp"] == near["flux/half.png"] != ""
    assert near["flux/other.png"] == ""


def test_the_same_bytes_under_two_classes_are_believed_under_none(tmp_path):
    """Both copies are left out, with the reason."""
    write(tmp_path, {**SOUND, "flux/1.jpg": SOUND["real/1.jpg"], "real/3.png": png(picture(3))})
    built = build(tmp_path)
    assert {row.file for row in built.manifest.rows} == {"flux/2.webp", "real/3.png"}
    assert {(one.file, one.reason) for one in built.refused} == {
        ("flux/1.jpg", "the same bytes are labelled flux and real"),
        ("real/1.jpg", "the same bytes are labelled flux and real"),
    }


def test_other_bytes_than_those_listed_are_refused(tmp_path):
    """A list with hashes holds its files to them."""
    write(tmp_path, SOUND)
    wrong = "0" * 64
    right = hashlib.sha256(SOUND["flux/2.webp"]).hexdigest()
    (tmp_path / "labels.csv").write_text(
        f"file,class,sha256\nreal/1.jpg,real,\nreal/1.jpg,real,{wrong}\nflux/2.webp,flux,{right}\n"
    )
    rows = labelled_rows(tmp_path / "labels.csv", relative_to=tmp_path)
    built = build_manifest(rows, tmp_path, near_duplicate_bits=6, processes=1)
    assert [one.reason for one in built.refused] == ["its bytes are not those whose hash is listed"]
    assert [row.file for row in built.manifest.rows] == ["real/1.jpg", "flux/2.webp"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"real/1.jpg": b"no", "flux/2.jpg": b"no"}, "none of the 2 files can be used: flux/2.jpg: the bytes are no image"),
        ({"real/1.jpg": SOUND["real/1.jpg"]}, "all images are of one class, `real`"),
        ({"flux/1.jpg": SOUND["real/1.jpg"], "dalle3/2.webp": SOUND["flux/2.webp"]}, "no class is named `real`: there are images of dalle3, flux only"),
        ({"real/1.jpg": SOUND["real/1.jpg"], "flux/2.jpg": b"no"}, "all images are of one class, `real`: 1 can be used, 1 cannot"),
    ],
)  # fmt: skip
def test_images_that_nothing_can_be_learnt_from_are_an_error(tmp_path, files, message):
    """Nothing left, one class, no photographs: each says so, with a remedy."""
    write(tmp_path, files)
    with pytest.raises(UsageError, match=message) as caught:
        build(tmp_path)
    assert caught.value.remedy


def test_the_list_of_what_was_refused_goes_when_nothing_is(tmp_path):
    """An old list must not outlive its faults."""
    path = tmp_path / "m.rejected.csv"
    write(tmp_path, {**SOUND, "real/x.jpg": b"no"})
    write_refused(path, build(tmp_path).refused)
    assert (
        path.read_text()
        == "file,class,reason\nreal/x.jpg,real,the bytes are no image: they start like no image format\n"
    )
    write_refused(path, ())
    assert not path.exists()
