"""Which windows are kept, by name: `1m`, `1h`, `1d` are tumbling, `1h/10m` is an hour that begins every ten minutes.

The shortest tumbling window is the pane: images are counted once, there, and every other window is put together from closed panes. So all
sizes and steps are multiples of it, and a window costs nothing an image.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_SPECS: Final = 8
MAX_OVERLAP: Final = 24
"""So many windows of one kind may hold the same moment: each is a record that is written at the close of each pane."""
MAX_PANES: Final = 10_080
"""Panes in one window: minutes of a week."""

_LENGTH = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One kind of window, in milliseconds since the epoch in UTC: it is `size_ms` long and begins at every multiple of `step_ms`."""

    name: str
    size_ms: int
    step_ms: int

    @property
    def is_tumbling(self) -> bool:
        """Whether each moment lies in exactly one window."""
        return self.size_ms == self.step_ms

    def starts(self, at_ms: int) -> Iterator[int]:
        """Yield the start of each window that `at_ms` lies in, oldest first.

        >>> hopping = parse_spec("1h/20m")
        >>> [start // 60_000 for start in hopping.starts(65 * 60_000)]
        [20, 40, 60]
        """
        last = at_ms // self.step_ms * self.step_ms
        yield from range(last - self.size_ms + self.step_ms, last + 1, self.step_ms)


@dataclass(frozen=True, slots=True)
class Specs:
    """The pane, and the larger windows, shortest first."""

    pane: WindowSpec
    larger: tuple[WindowSpec, ...]

    def __iter__(self) -> Iterator[WindowSpec]:
        """Yield all of them, shortest first."""
        yield self.pane
        yield from self.larger

    def named(self, name: str) -> WindowSpec | None:
        """Return the spec of this name, if it is kept."""
        return next((spec for spec in self if spec.name == name), None)


def parse_spec(name: str) -> WindowSpec:
    """Return the spec that `name` says.

    >>> parse_spec("1h/10m")
    WindowSpec(name='1h/10m', size_ms=3600000, step_ms=600000)

    Raises:
        ValueError: it says none, or steps that do not divide the size.
    """
    size, _, step = name.partition("/")
    found, stepped = _LENGTH.fullmatch(size), _LENGTH.fullmatch(step or size)
    if found is None or stepped is None:
        raise ValueError(
            f"{name!r} is no window: write 1m, 1h, 1d, or 1h/10m for an hour that begins every ten minutes"
        )
    size_ms, step_ms = (int(one[1]) * UNITS_MS[one[2]] for one in (found, stepped))
    if size_ms % step_ms or size_ms // step_ms > MAX_OVERLAP:
        raise ValueError(f"{name!r}: the step must divide the size, and at most {MAX_OVERLAP} windows may overlap")
    return WindowSpec(name, size_ms, step_ms)


def parse_specs(names: Iterable[str]) -> Specs:
    """Return the specs of `names`.

    >>> parse_specs(["1h", "1m"]).pane.name
    '1m'

    Raises:
        ValueError: a name says no window, two say the same, none is tumbling, or one is not made of whole panes.
    """
    specs = sorted((parse_spec(name) for name in names), key=lambda spec: (spec.size_ms, spec.step_ms))
    if not 1 <= len(specs) <= MAX_SPECS:
        raise ValueError(f"give 1 to {MAX_SPECS} windows")
    if len({(spec.size_ms, spec.step_ms) for spec in specs}) < len(specs):
        raise ValueError("two of the windows are the same")
    pane = next((spec for spec in specs if spec.is_tumbling), None)
    if pane is None:
        raise ValueError("one of the windows must be tumbling, such as 1m: the others are put together from it")
    for spec in specs:
        if spec.size_ms % pane.size_ms or spec.step_ms % pane.size_ms:
            raise ValueError(f"{spec.name!r} is not made of whole {pane.name}")
        if spec.size_ms // pane.size_ms > MAX_PANES:
            raise ValueError(f"{spec.name!r} is more than {MAX_PANES} times {pane.name}")
    return Specs(pane, tuple(spec for spec in specs if spec is not pane))


def clustered_spec(specs: Specs) -> WindowSpec:
    """Return the windows in which new generators are looked for: the tumbling hour, else the shortest tumbling ones of ten minutes or more, else panes.

    >>> clustered_spec(parse_specs(["1m", "15m", "1h", "1d"])).name, clustered_spec(parse_specs(["1m", "15m", "1d"])).name
    ('1h', '15m')
    """
    tumbling = [spec for spec in specs if spec.is_tumbling]
    hour = next((spec for spec in tumbling if spec.size_ms == UNITS_MS["h"]), None)
    return hour or next((spec for spec in tumbling if spec.size_ms >= 10 * UNITS_MS["m"]), specs.pane)
