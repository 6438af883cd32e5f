"""Page-Hinkley on the mean confidence: what it tells, and that a restart changes nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("river", reason="river comes with the extra `drift`")

from streams.drift.slow_drift import MIN_PANES, SlowDrift


def panes(seed: int, *parts: tuple[int, float]) -> list[float]:
    """Mean confidences: so many panes around each of the levels."""
    rng = np.random.default_rng(seed)
    return [float(value) for count, level in parts for value in rng.normal(level, 0.01, count)]


def told(detector: SlowDrift, values: list[float]) -> list[int]:
    """The places at which a change is told."""
    return [place for place, value in enumerate(values) if detector.update(value) is not None]


def test_a_slow_fall_is_told() -> None:
    """A fall of 0.03, less than three times the noise of a pane, is told within fifty panes, once."""
    found = told(SlowDrift(), panes(1, (100, 0.85), (60, 0.82)))
    assert len(found) == 1
    assert 100 < found[0] < 150


def test_a_rise_is_told_too() -> None:
    """The test looks both ways."""
    assert len(told(SlowDrift(), panes(1, (100, 0.85), (60, 0.88)))) == 1


def test_steady_confidence_is_not() -> None:
    """A week of hours with the same mean says nothing."""
    assert told(SlowDrift(), panes(2, (2000, 0.85))) == []


def test_the_first_panes_say_nothing() -> None:
    """Before there are enough panes, even a jump is not told."""
    assert told(SlowDrift(), [0.9] * (MIN_PANES // 2) + [0.1] * (MIN_PANES // 2 - 1)) == []


@pytest.mark.parametrize("cut", [0, 1, 29, 110, 125, 159])
def test_a_restored_detector_goes_on_exactly(cut) -> None:
    """Written to JSON at any pane and read back, it comes to the same sums and tells at the same pane."""
    values = panes(1, (100, 0.85), (60, 0.82))
    whole, first = SlowDrift(), SlowDrift()
    expected = told(whole, values)
    before = told(first, values[:cut])
    second = SlowDrift.from_json(json.loads(json.dumps(first.to_json(), allow_nan=False)))
    after = [cut + place for place in told(second, values[cut:])]
    assert before + after == expected
    assert second.to_json() == whole.to_json()


def test_river_is_not_imported_before_it_is_asked_for() -> None:
    """The module costs nothing where `drift.slow` is off."""
    code = "import sys, streams.drift.slow_drift, streams.drift.episodes; sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_river_it_is_refused_at_the_start() -> None:
    """Who asks for it and has not installed the extra is told so at once, and not by a fault in each window."""
    code = (
        "import sys; sys.modules['river'] = None\n"
        "from schemas.errors import ConfigError\n"
        "from streams.drift.slow_drift import require_river\n"
        "try: require_river()\n"
        "except ConfigError as error: print(error.remedy)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "Install DeepTrace with the extra `drift`, or set DEEPTRACE_DRIFT__SLOW=false.\n"
