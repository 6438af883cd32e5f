from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from training.items import units_of
from training.manifest import Row
from training.params import DataParams
from training.splits import HeldOut, missing_classes, split_rows

NOTHING = HeldOut()
PARAMS = DataParams(calibration_share=0.2, test_share=0.2)


def rows(groups, labels=("real", "flux"), **cells):
    """`groups` groups, each with one image a class."""
    return [Row(file=f"{label}/{n}", label=label, group=f"g{n}", **cells) for n in range(groups) for label in labels]


def counts(done):
    return Counter((row.split, row.label) for row in done)


row_lists = st.lists(
    st.tuples(
        st.sampled_from(["real", "flux", "dalle3"]),
        st.sampled_from(["", *"abcdefgh"]),  # group
        st.sampled_from(["", *"uvwxyz"]),  # near
        st.sampled_from(["", "v1", "v2"]),
        st.sampled_from(["", "2025-01-01", "2026-06-30"]),
        st.sampled_from(["", "s1", "s2"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=300)
@given(row_lists, st.integers(0, 5), st.data())
def test_a_unit_is_never_in_two_splits(cells, seed, data):
    """Whatever ties images together and whatever is held out: kin is in one split, or left out."""
    listed = [
        Row(file=f"{n}", label=label, group=group, near=near, version=version, date=day, source=source)
        for n, (label, group, near, version, day, source) in enumerate(cells)
    ]
    held_out = HeldOut(
        versions=data.draw(st.sampled_from([frozenset(), frozenset({"v2"})])),
        sources=data.draw(st.sampled_from([frozenset(), frozenset({"s1"})])),
        later_than=data.draw(st.sampled_from([None, date(2026, 1, 1)])),
        generators=data.draw(st.sampled_from([frozenset(), frozenset({"dalle3"})])),
    )
    try:
        done = split_rows(listed, DataParams(seed=seed), held_out)
    except UsageError:
        return  # nothing to hold out, or nothing left to train on
    splits = {}
    for row, unit in zip(done, units_of(done), strict=True):
        splits.setdefault(unit, set()).add(row.split)
    assert all(len(found - {""}) <= 1 for found in splits.values())
    assert split_rows(listed, DataParams(seed=seed), held_out) == done
    trained = [row for row in done if row.split in {"train", "calibration", "test"}]
    assert not [row for row in trained if held_out.split_of(row)]


def test_shares_hold_in_every_class():
    """Of 50 groups with two classes: 30 train, 10 calibrate and 10 test, of each class."""
    done = counts(split_rows(rows(50), PARAMS, NOTHING))
    assert done == {
        (split, label): number
        for split, number in (("train", 30), ("calibration", 10), ("test", 10))
        for label in ("real", "flux")
    }


def test_shares_hold_for_a_rare_class_too():
    """A class with a tenth of the images gets its share of each split."""
    listed = [
        *(Row(file=f"r{n}", label="real") for n in range(200)),
        *(Row(file=f"f{n}", label="flux") for n in range(20)),
    ]
    done = counts(split_rows(listed, PARAMS, NOTHING))
    assert {split: done[split, "flux"] for split in ("train", "calibration", "test")} == {
        "train": 12,
        "calibration": 4,
        "test": 4,
    }


def test_another_seed_deals_otherwise():
    """The seed reaches the split."""
    one, other = (split_rows(rows(30), PARAMS.model_copy(update={"seed": seed}), NOTHING) for seed in (1, 2))
    assert one != other


def test_what_the_split_was_before_does_not_matter():
    """Splitting again gives the same."""
    done = split_rows(rows(20), PARAMS, NOTHING)
    assert split_rows(done, PARAMS, NOTHING) == done


def test_images_without_kin_are_dealt_one_by_one():
    """An empty group ties nothing together."""
    done = split_rows([Row(file=f"{n}", label=label) for n in range(10) for label in ("real", "flux")], PARAMS, NOTHING)
    assert {row.split for row in done} == {"train", "calibration", "test"}


def test_a_generator_that_stands_alone_is_held_out_whole():
    """By class or by generator: all of it, and nothing else."""
    listed = [*rows(20, ("real", "flux")), *(Row(file=f"n{n}", label="newcomer", group=f"n{n}") for n in range(5))]
    done = split_rows(listed, PARAMS, HeldOut(generators=frozenset({"newcomer"})))
    assert {row.label for row in done if row.split == "unseen_generator"} == {"newcomer"}
    assert sum(row.split == "unseen_generator" for row in done) == 5


def test_a_generator_that_shares_its_groups_takes_some_of_them_along():
    """Content-paired images: some scenes are held out whole, in the others the generator is left out."""
    done = split_rows(rows(60, ("real", "flux", "newcomer")), PARAMS, HeldOut(generators=frozenset({"newcomer"})))
    table = counts(done)
    held = table["unseen_generator", "newcomer"]
    assert 5 <= held <= 20
    assert table["unseen_generator", "real"] == table["unseen_generator", "flux"] == held
    assert table["", "newcomer"] == 60 - held
    assert table["train", "newcomer"] == 0


@pytest.mark.parametrize(
    ("held_out", "column", "value", "split"),
    [
        (HeldOut(versions=frozenset({"v6"})), "version", "v6", "unseen_checkpoint"),
        (HeldOut(sources=frozenset({"new camera"})), "source", "new camera", "unseen_source"),
        (HeldOut(later_than=date(2026, 1, 1)), "date", "2026-02-01T10:00:00Z", "later"),
    ],
)
def test_each_option_has_a_split_of_its_own(held_out, column, value, split):
    """Version, source and date."""
    listed = [
        *rows(20),
        Row(file="one", label="flux", **{column: value}),
        Row(file="old", label="real", date="2026-01-01"),
    ]
    done = split_rows(listed, PARAMS, held_out)
    assert [row.file for row in done if row.split == split] == ["one"]


def test_nothing_to_hold_out_says_what_there_is():
    """A misspelt version is not silently ignored."""
    with pytest.raises(UsageError, match="nothing to hold out for unseen_checkpoint: the column `version` has v1"):
        split_rows(rows(5, version="v1"), PARAMS, HeldOut(versions=frozenset({"v9"})))


def test_a_class_without_training_images_is_an_error():
    """All of a class held out by its source."""
    listed = [*rows(5, ("real",)), *rows(5, ("flux",), source="s")]
    listed = [Row(file=row.file, label=row.label, group=f"{row.label}{row.group}", source=row.source) for row in listed]
    with pytest.raises(UsageError, match="the class flux has nothing to train on"):
        split_rows(listed, PARAMS, HeldOut(sources=frozenset({"s"})))


def test_a_date_that_is_none_is_named():
    """The row and its cell."""
    with pytest.raises(UsageError, match="real/0: the date is 'yesterday'"):
        split_rows(rows(3, date="yesterday"), PARAMS, HeldOut(later_than=date(2026, 1, 1)))


def test_classes_that_a_split_lacks_are_told():
    """One group of a class can only be trained on."""
    done = split_rows([*rows(10, ("real",)), Row(file="x", label="flux")], PARAMS, NOTHING)
    assert missing_classes(done) == {"calibration": ["flux"], "test": ["flux"]}


def test_shares_that_leave_nothing_are_refused():
    """Params say so before anything is read."""
    with pytest.raises(ValueError, match="leave nothing to train on"):
        DataParams(calibration_share=0.5, test_share=0.5)
