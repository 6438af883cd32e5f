"""Failpoints: read strictly, since a misspelt one would make a fault run that tests nothing; and harmless when none is set."""

import signal
import subprocess
import sys

import pytest

from schemas.errors import BatchFailed, ConfigError
from streams.failpoints import POINTS, Failpoints


def ended_by(specification: str, *calls: str) -> int:
    """Run `calls` on armed failpoints in a process of their own; return how it ended."""
    script = f"from streams.failpoints import Failpoints\nf = Failpoints({specification!r})\n" + "\n".join(calls)
    return subprocess.run([sys.executable, "-c", script], check=False, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(
    ("specification", "calls", "ends"),
    [
        ("after_judge=kill", ["f.hit('after_judge', 'a')"], -signal.SIGKILL),
        ("after_judge=abort", ["f.hit('after_judge', 'a')"], -signal.SIGABRT),
        ("after_judge=kill", ["f.hit('after_fetch', 'a')"], 0),
        ("after_judge=kill@3", ["f.hit('after_judge')"] * 2, 0),
        ("after_judge=kill@3", ["f.hit('after_judge')"] * 3, -signal.SIGKILL),
        ("after_judge=abort~poison", ["f.hit('after_judge', 'image-7')"], 0),
        ("after_judge=abort~poison", ["f.hit('after_judge', 'a-poison-7')"], -signal.SIGABRT),
        ("after_judge=kill@2~x", ["f.hit('after_judge', 'x')", "f.hit('after_judge', 'y')"], 0),
        ("before_fetch=kill@9, after_ack=abort", ["f.hit('after_ack')"], -signal.SIGABRT),
    ],
)
def test_it_ends_the_process_exactly_where_and_when_it_is_told_to(specification, calls, ends):
    """Point, hit and reference all have to fit."""
    assert ended_by(specification, *calls) == ends


@pytest.mark.parametrize("point", POINTS)
def test_without_a_specification_nothing_happens(point):
    """This process lives on, and nothing counts as armed."""
    failpoints = Failpoints("")
    failpoints.hit(point, "poison")
    failpoints.judge(1000)
    assert not failpoints.is_armed(point)
    assert Failpoints(f"{point}=kill").is_armed(point)


def test_a_large_batch_runs_out_of_memory():
    """As a model does: the whole batch fails, a smaller one does not."""
    failpoints = Failpoints("judge=oom>4")
    failpoints.judge(4)
    with pytest.raises(BatchFailed):
        failpoints.judge(5)


@pytest.mark.parametrize(
    "wrong",
    [
        "after_jugde=kill",
        "after_judge",
        "after_judge=explode",
        "after_judge=kill@",
        "after_judge=kill@x",
        "judge=kill",
        "judge=oom",
        "judge=hang@2",
        "after_judge=oom>4",
        "after_judge=hang",
        "after_ack=kill;after_judge=kill",
    ],
)
def test_what_is_misspelt_is_refused(wrong):
    """With the points that there are, so that the next try fits."""
    with pytest.raises(ConfigError, match="is not a failpoint") as caught:
        Failpoints(wrong)
    assert "after_judge" in caught.value.why
