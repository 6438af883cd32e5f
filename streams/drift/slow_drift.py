"""A change too slow for any one window: the Page-Hinkley test on the mean confidence of the panes.

The detector is river's. It costs some seconds and 200 MB to import, so it is imported when the first detector is made, and only where
`drift.slow` asks for it.
"""

import importlib.util
from collections.abc import Mapping
from math import inf
from typing import Any, Final, Self

from schemas.errors import ConfigError

MIN_PANES: Final = 30
DELTA: Final = 0.005
"""A mean confidence that is off by less than this is tolerated for ever."""
THRESHOLD: Final = 0.5
"""What the deviations beyond `DELTA` may add up to, either way: a fall of 0.03 is told after some twenty panes."""

STATISTIC: Final = "page_hinkley_confidence"

_STATE: Final = ("_sum_increase", "_sum_decrease", "_min_increase", "_max_decrease", "_drift_detected")


def require_river() -> None:
    """Refuse to go on without river; does not import it.

    Raises:
        ConfigError: the extra is not installed.
    """
    if importlib.util.find_spec("river") is None:
        raise ConfigError(
            "the watch for slow drift needs river",
            why="it is not installed",
            remedy="Install DeepTrace with the extra `drift`, or set DEEPTRACE_DRIFT__SLOW=false.",
        )


class SlowDrift:
    """The detector of one tenant. Panes come oldest first, each once. `ImportError` where river (the extra `drift`) is not installed."""

    def __init__(self) -> None:
        from river.drift import PageHinkley

        self._detector = PageHinkley(min_instances=MIN_PANES, delta=DELTA, threshold=THRESHOLD)

    def update(self, mean_confidence: float) -> float | None:
        """Take in the next pane; return the detector's sum where it tells of a change now, else None. After a change it begins anew."""
        self._detector.update(mean_confidence)  # type: ignore[no-untyped-call]
        if not self._detector.drift_detected:
            return None
        state = self.to_json()
        return float(
            max(
                state["_sum_increase"] - state["_min_increase"],
                state["_max_decrease"] - state["_sum_decrease"],
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` goes on from, exactly. JSON has no infinity: what is not there yet is null."""
        kept = vars(self._detector)
        mean = kept["_x_mean"]
        state = {name: None if kept[name] == inf else kept[name] for name in _STATE}
        return {**state, "panes": mean.n, "mean": mean.get()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return a detector that goes on where the one that wrote `to_json` stopped."""
        slow = cls()
        kept = vars(slow._detector)
        kept.update({name: inf if record[name] is None else record[name] for name in _STATE})
        vars(kept["_x_mean"]).update(n=record["panes"], _mean=record["mean"])
        return slow
