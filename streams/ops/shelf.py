"""Bounded memory of what was published, each thing with the revision at which it came: a reader asks for what is new to him."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.window import OVERALL

Series = tuple[str, str]
"""A tenant and the name of a kind of window."""

MOST_TENANT_WINDOWS: Final = 20_000
MOST_OVERALL_WINDOWS: Final = 12_000  # a week of minutes, hours and days
MOST_LISTED_TENANTS: Final = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing as the page gets it: JSON already, for it is sent more often than it is read."""

    revision: int
    at_ms: int
    tenant: str
    json: bytes


class Shelf:
    """At most `most` things by id; what was put first goes first. A repeat replaces the first and keeps its place."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, Kept] = {}

    def put(self, name: str, kept: Kept) -> bool:
        """Keep a thing; return whether it is another than before."""
        former = self._kept.get(name)
        if former is not None and former.json == kept.json:
            return False
        self._kept[name] = kept
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return True

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def forget_before(self, moment_ms: int) -> None:
        """Forget what is older than a moment."""
        for name in [name for name, one in self._kept.items() if one.at_ms < moment_ms]:
            del self._kept[name]


class WindowShelf:
    """The windows of all tenants. Bounded in all, not by tenant: with tenants by the thousand each keeps its latest few.

    The windows over all tenants have room of their own, so that no tenant can push them out.
    """

    def __init__(self, most_overall: int = MOST_OVERALL_WINDOWS, most_of_tenants: int = MOST_TENANT_WINDOWS) -> None:
        self._most = {True: most_overall, False: most_of_tenants}
        self._order: dict[bool, dict[tuple[Series, str], None]] = {True: {}, False: {}}
        self._series: dict[Series, dict[str, Kept]] = {}

    def put(self, series: Series, window_id: str, kept: Kept) -> bool:
        """Keep a window; return whether it is another than before."""
        overall = series[0] == OVERALL
        shelf = self._series.setdefault(series, {})
        if window_id in shelf and shelf[window_id].json == kept.json:
            return False
        shelf[window_id] = kept
        order = self._order[overall]
        order[series, window_id] = None
        if len(order) > self._most[overall]:
            self._drop(overall, *next(iter(order)))
        return True

    def of(self, series: Series) -> list[Kept]:
        """Return the windows of a series, oldest first."""
        return sorted(self._series.get(series, {}).values(), key=lambda one: one.at_ms)

    def specs(self, tenant: str) -> list[str]:
        """Return the kinds of windows that a tenant has."""
        return sorted(spec for name, spec in self._series if name == tenant)

    def tenants(self) -> list[str]:
        """Return the tenants that have windows, all tenants together first, at most `MOST_LISTED_TENANTS` of them."""
        names = sorted({name for name, _ in self._series} - {OVERALL})
        return [OVERALL, *names[:MOST_LISTED_TENANTS]]

    @property
    def count(self) -> int:
        """How many windows are kept."""
        return sum(len(order) for order in self._order.values())

    def forget_before(self, moment_ms: int) -> None:
        """Forget windows that ended before a moment."""
        for overall, order in self._order.items():
            for series, name in [one for one in order if self._series[one[0]][one[1]].at_ms < moment_ms]:
                self._drop(overall, series, name)

    def _drop(self, overall: bool, series: Series, window_id: str) -> None:
        del self._order[overall][series, window_id]
        del self._series[series][window_id]
        if not self._series[series]:
            del self._series[series]
