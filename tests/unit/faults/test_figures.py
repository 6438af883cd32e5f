"""Figures and tools of the fault harness that need no broker."""

import random
import subprocess
import sys

import pytest
from faults.cases.fuzzed import mutated
from faults.cases.intake import garbage_item
from faults.cases.price import bucket_quantile
from faults.harness.conclusion import slope_mib_per_h
from faults.harness.load import Mix, Picture, reference
from faults.harness.skewed_clock import Clocks

from schemas.incoming import Intake, Record, Reference, RejectedReference

PICTURE = Picture("good/1.png", "0" * 64, "etag", 9)
INTAKE = Intake(frozenset({"deeptrace-images"}), "deeptrace-overlays", "overlays/")


def read(item):
    return INTAKE.read(Record("deeptrace.images.v1", 0, 0, None, item.value, item.headers))


def test_the_slope_of_memory_leaves_out_the_warm_up():
    """A process that grows to 100 MiB at first and by 6 MiB an hour from then on."""
    samples = [(float(t), 100.0 + 6 * t / 3600 if t > 360 else t / 3.6) for t in range(0, 3600, 10)]
    assert slope_mib_per_h(samples) == pytest.approx(6.0)
    assert slope_mib_per_h(samples[:5]) is None


def test_a_quantile_lies_on_a_line_within_its_bucket():
    """50 of 100 within the first ten milliseconds, the rest within twenty."""
    buckets = {"0.01": 50.0, "0.02": 100.0, "+Inf": 100.0}
    assert bucket_quantile(buckets, "0.5") == pytest.approx(10.0)
    assert bucket_quantile(buckets, "0.75") == pytest.approx(15.0)
    assert bucket_quantile({"0.01": 0.0, "+Inf": 10.0}, "0.5") is None


def test_references_are_the_same_for_the_same_seed():
    """And each is one that the worker accepts, under the id that the harness expects."""
    items = [item for item, _ in zip(Mix([PICTURE], 7), range(50), strict=False)]
    assert items == [item for item, _ in zip(Mix([PICTURE], 7), range(50), strict=False)]
    assert items != [item for item, _ in zip(Mix([PICTURE], 8), range(50), strict=False)]
    for item in items:
        [accepted] = read(item)
        assert isinstance(accepted, Reference)
        assert accepted.outcome_id == item.outcome_id
        assert accepted.ref.object.sha256 == PICTURE.sha256


def test_garbage_is_never_a_reference():
    """Whatever kind of it is drawn."""
    draw = random.Random(7)
    for n in range(200):
        found = read(garbage_item(draw, n, PICTURE))
        assert [type(one) for one in found] == [RejectedReference]


def test_mutations_are_seeded_and_change_something():
    """Most of a thousand differ from what they started from, and the same seed gives the same."""
    value = reference("x", PICTURE).value
    made = [mutated(random.Random(n), value) for n in range(1000)]
    assert made == [mutated(random.Random(n), value) for n in range(1000)]
    assert sum(one != value for one in made) > 950


def test_a_wall_clock_can_be_set_while_a_process_runs(tmp_path):
    """Two hours ahead, then back; its monotonic clock runs on, and it sleeps as before."""
    clocks = Clocks(tmp_path)
    if not clocks.can_skew:
        pytest.skip("needs a C compiler")
    code = (
        "import time, datetime\n"
        "for _ in range(2):\n"
        "    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)\n"
        "    input(); time.sleep(0.01)\n"
    )
    environment = clocks.environment(0)
    clocks.set(0, 7200)
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        ahead = [float(part) for part in child.stdout.readline().split()]
        clocks.set(0, 0)
        child.stdin.write("\n")
        child.stdin.flush()
        right = [float(part) for part in child.stdout.readline().split()]
        child.stdin.write("\n")
        child.stdin.close()
        assert child.wait(20) == 0
    assert ahead[0] - right[0] == pytest.approx(7200, abs=60)
    assert ahead[1] - right[1] == pytest.approx(7200, abs=60)
    assert 0 < right[2] - ahead[2] < 60
