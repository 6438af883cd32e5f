from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_training import write_pictures

from schemas.errors import UsageError
from training.items import training_set, units_of
from training.manifest import Manifest, Row

CLASSES = ("real", "flux")


def read(manifest, classes=CLASSES, share=0.0, said=None):
    warn = (said if said is not None else []).append
    return training_set(manifest, classes, map, validation_share=share, seed=7, warn=warn)


def test_images_become_items_with_their_classes_numbers(tmp_path):
    """In the manifest's order; `real` is class 0."""
    data = read(write_pictures(tmp_path, {"real": 2, "flux": 1}))
    assert [(item.name, item.label) for item in data.train] == [("real/0.png", 0), ("real/1.png", 0), ("flux/0.png", 1)]
    assert data.counts() == {"real": 2, "flux": 1}
    assert data.validation == ()


def test_a_group_is_never_parted(tmp_path):
    """Four of ten groups are kept back, with both of their classes."""
    data = read(write_pictures(tmp_path, {"real": 10, "flux": 10}), share=0.4)
    numbers = [{item.name.split("/")[1] for item in part} for part in (data.train, data.validation)]
    assert [len(part) for part in numbers] == [6, 4]
    assert not numbers[0] & numbers[1]
    assert len(data.validation) == 8


def test_the_last_group_of_a_class_is_always_learnt(tmp_path):
    """One image of a class is not kept back, whatever the share."""
    data = read(write_pictures(tmp_path, {"real": 5, "flux": 1}), share=1.0)
    assert data.counts() == {"real": 1, "flux": 1}


def test_near_duplicates_and_groups_hang_together_through_any_chain():
    """a and b are near, b and c of one group: one unit. d is alone."""
    rows = [
        Row("a", "real", near="n"),
        Row("b", "real", near="n", group="g"),
        Row("c", "real", group="g"),
        Row("d", "real"),
    ]
    a, b, c, d = units_of(rows)
    assert a == b == c != d


def test_a_group_and_a_near_duplicate_of_the_same_name_are_two_things():
    """The number 1 of one column is not the number 1 of the other."""
    first, second = units_of([Row("a", "real", near="1"), Row("b", "real", group="1")])
    assert first != second


@given(st.lists(st.tuples(st.sampled_from(["", "1", "2"]), st.sampled_from(["", "1", "2"])), max_size=12))
def test_rows_that_share_a_tie_share_a_unit(ties):
    """For every pair of rows."""
    rows = [Row(str(place), "real", group=group, near=near) for place, (group, near) in enumerate(ties)]
    units = units_of(rows)
    for one, unit in zip(rows, units, strict=True):
        for other, other_unit in zip(rows, units, strict=True):
            if (one.group and one.group == other.group) or (one.near and one.near == other.near):
                assert unit == other_unit


def test_an_unreadable_image_is_named_and_left_out(tmp_path):
    """One of eleven: a warning with its name and what is wrong."""
    manifest = write_pictures(tmp_path, {"real": 10, "flux": 1})
    (tmp_path / "real" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    said = []
    data = read(manifest, said=said)
    assert data.counts() == {"real": 9, "flux": 1}
    assert said[0].startswith("left out 1 of 11 images that cannot be read: real/3.png: ")
    assert len(data.unreadable) == 1


def test_a_file_that_changed_since_it_was_listed_is_left_out(tmp_path):
    """Its hash is not the manifest's: nobody knows what it shows."""
    manifest = write_pictures(tmp_path, {"real": 10, "flux": 1})
    rows = [replace(manifest.rows[0], sha256="0" * 64), *manifest.rows[1:]]
    said = []
    read(manifest.with_rows(rows), said=said)
    assert "real/0.png: its bytes are not those that the manifest lists" in said[0]


def test_more_than_a_tenth_of_unreadable_images_ends_it(tmp_path):
    """Two of eleven: the error counts and names them."""
    manifest = write_pictures(tmp_path, {"real": 10, "flux": 1})
    (tmp_path / "real" / "3.png").unlink()
    (tmp_path / "real" / "4.png").write_bytes(b"")
    with pytest.raises(UsageError, match="2 of 11 training images cannot be read") as caught:
        read(manifest)
    assert "real/3.png: No such file" in caught.value.why


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "nothing to train on"),
        ((Row("a.png", "real", split="test"),), "nothing to train on"),
        ((Row("a.png", "flux", split="train"), Row("b.png", "dalle3", split="train")), "no photographs"),
        ((Row("a.png", "real", split="train"),), "all of one class"),
        (
            (Row("a.png", "real", split="train"), Row("b.png", "unheard", split="train")),
            "classes that the network does not",
        ),
    ],
    ids=["empty", "another split", "no real", "one class", "unknown class"],
)
def test_what_cannot_be_trained_on_is_an_error_with_a_remedy(tmp_path, rows, message):
    """Each says what is missing and what to do."""
    with pytest.raises(UsageError, match=message) as caught:
        read(Manifest(tmp_path, rows), ("real", "flux", "dalle3"))
    assert caught.value.why
    assert caught.value.remedy


def test_the_hash_of_the_data_moves_with_any_pixel_label_or_part(tmp_path):
    """And with nothing else: where the folder lies is not part of it."""
    one = read(write_pictures(tmp_path / "a", {"real": 3, "flux": 3}))
    assert read(write_pictures(tmp_path / "b", {"real": 3, "flux": 3})).sha256 == one.sha256
    assert read(write_pictures(tmp_path / "b", {"real": 3, "flux": 2})).sha256 != one.sha256
    assert read(write_pictures(tmp_path / "c", {"real": 3, "flux": 3}), share=0.5).sha256 != one.sha256
