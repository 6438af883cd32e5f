"""The fuzzing of `make fuzz`, small enough for every run; a fault it tells of is made anew by its number and seed."""

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.fuzz import images, references

from schemas.errors import ImageRejected, ObjectRejected, leaves

SEED = 7
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
async def test_every_spoiled_reference_comes_to_outcomes_that_can_be_settled():
    """One identity, one outcome a reference, nothing of the input in what is said, nothing raised."""
    found = await references.run(3000, SEED)
    assert found.faults == []
    assert (found.records, found.references >= found.records - found.ignored) == (3000, True)
    assert found.verdicts >= found.overlays > 0  # the key of each overlay was looked at
    assert found.codes.keys() >= {"message_not_json", "message_invalid", "object_changed", "object_not_found"}


@pytest.mark.slow
async def test_every_spoiled_image_is_a_picture_or_an_error_of_an_image():
    """No decoder dies, none is late, and a sound picture is decoded as before."""
    found = await images.run(600, SEED)
    assert found.faults == []
    assert (found.images, found.deaths, found.timeouts) == (600, 0, 0)
    known = {leaf.code for root in (ImageRejected, ObjectRejected) for leaf in leaves(root)}
    assert found.codes.keys() - known == {"verdict"}


def test_the_same_seed_spoils_the_same_way():
    """A fault can be made anew; another seed is other work."""
    first, second = (list(images.images(40, SEED)) for _ in range(2))
    assert first == second
    assert first != list(images.images(40, SEED + 1))
    assert list(references.records(40, SEED)) == list(references.records(40, SEED))
    changed = sum(data != dict(images.seeds())[name.split(" ", 1)[1]] for name, data in first)
    assert changed > 30


def test_the_seeds_of_another_process_are_the_same():
    """No file holds the time or the place where it was made."""
    code = "from faults.fuzz.images import seeds; import hashlib; print(hashlib.sha256(repr(seeds()).encode()).hexdigest())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
    )
    assert told.stdout.strip() == hashlib.sha256(repr(images.seeds()).encode()).hexdigest()


def test_every_kind_of_file_is_spoiled():
    """All formats and both ways to spoil them appear early."""
    names = {name.split(" ", 1)[1] for name, _ in itertools.islice(images.images(600, SEED), 600)}
    assert names == {name for name, _ in images.seeds()}
