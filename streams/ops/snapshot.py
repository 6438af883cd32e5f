"""The answers of the page's interface: all that one view needs, and what has changed in it since a revision."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas.window import OVERALL
from streams.labels.book import LabelBook
from streams.labels.tally import Rate
from streams.ops.feed import Feed, model_json
from streams.ops.latest import Offer
from streams.ops.rates import step_for
from streams.ops.shelf import Kept
from streams.ops.shown import MOST_CLASSES

MOST_WINDOWS: Final = 1_500
LIVE_POINTS: Final = 3
"""Points at the end of the rates that are sent again with each change: the last one grows, and a late record may touch the one before."""


@dataclass(frozen=True, slots=True)
class View:
    """What somebody looks at. `until_ms` is None while it moves with the time."""

    tenant: str = OVERALL
    window: str | None = None
    since_ms: int = 0
    until_ms: int | None = None


class Snapshots:
    """Reads the feed for a view. `name` tells this process from another: revisions of one mean nothing to the other."""

    def __init__(
        self,
        feed: Feed,
        offer: Offer,
        *,
        name: str,
        threshold: float,
        no_pictures: str | None,
        labels: LabelBook | None = None,
    ) -> None:
        self.name = name
        self._feed = feed
        self._offer = offer
        self._threshold = threshold
        self._no_pictures = no_pictures
        self._labels = labels

    @property
    def revision(self) -> int:
        """The newest revision of what is shown."""
        return self._feed.revision

    def state(self, view: View) -> bytes:
        """Return all that a view shows, as JSON."""
        return orjson.dumps(self._of(view, after=-1))

    def changes(self, view: View, *, after: int) -> bytes | None:
        """Return what is new in a view since a revision, as JSON; None: nothing."""
        return orjson.dumps(self._of(view, after=after)) if self._feed.revision > after else None

    def _of(self, view: View, *, after: int) -> dict[str, Any]:
        feed, now_ms = self._feed, self._feed.now_ms
        since_ms = max(view.since_ms, now_ms - feed.history_ms)
        until_ms = now_ms if view.until_ms is None else view.until_ms
        specs = sorted(feed.windows.specs(view.tenant), key=_length)
        spec = view.window if view.window in specs else next(iter(specs), None)
        last_ms = view.until_ms or now_ms + feed.history_ms  # clocks differ: a window may end a little ahead of ours
        inside = [one for one in feed.windows.of((view.tenant, spec or "")) if since_ms <= one.at_ms <= last_ms]
        step_ms = step_for(until_ms - since_ms)
        live_ms = since_ms if after < 0 else max(since_ms, now_ms - LIVE_POINTS * step_ms)
        verdicts = feed.latest.shown(after=after, offer=self._offer)
        return {
            "name": self.name,
            "revision": feed.revision,
            "now": now_ms,
            "since": since_ms,
            "until": until_ms,
            "history": now_ms - feed.history_ms,
            "notice": feed.notice,
            "contact": {
                "fault": feed.contact.fault,
                "last": feed.contact.last_ms,
                "since": feed.contact.since_ms,
            },
            "waits": feed.waits,
            "unreadable": feed.unreadable,
            "cut": sorted(feed.cut),
            "no_pictures": self._no_pictures,
            "threshold": self._threshold,
            "tenants": feed.windows.tenants(),
            "specs": specs,
            "tenant": view.tenant,
            "window": spec,
            "windows_left_out": max(0, len(inside) - MOST_WINDOWS),
            "windows": _newer(inside[-MOST_WINDOWS:], after),
            "alerts": _newer([one for one in feed.alerts if _of_tenant(one.tenant, view.tenant)], after),
            "candidates": [
                one
                for one in feed.shown_candidates(after=after, offer=self._offer)
                if _of_tenant(one["tenant"], view.tenant)
            ],
            "verdicts": [one for one in verdicts if _of_tenant(one["tenant"], view.tenant)],
            "rates": {"step": step_ms, "points": list(feed.rates.points(live_ms, until_ms + 1, step_ms))},
            "letters": feed.rates.letters_by_code(since_ms, until_ms + 1),
            "behind": [
                {"group": one.group, "messages": one.messages, "seconds": one.seconds, "why": one.why}
                for one in feed.behind
            ],
            "models": [model_json(one) for one in sorted(feed.models.values(), key=lambda one: -one.last_ms)],
            "timing": feed.stages(),
            "labels": None if self._labels is None else _labels_json(self._labels, view.tenant),
        }


def _labels_json(book: LabelBook, tenant: str) -> dict[str, Any] | None:
    """Return precision and recall by class as reviewers see them; None where there is no label."""
    tally = book.tally(None if tenant == OVERALL else tenant)
    if not tally.outcomes:
        return None
    return {
        "outcomes": tally.outcomes,
        "rows": [
            {
                "name": row.source[:64],
                "precision": _rate(row.precision),
                "recall": _rate(row.recall),
                "labelled": row.recall.of,
            }
            for row in tally.rows()[:MOST_CLASSES]
        ],
    }


def _rate(rate: Rate) -> list[float] | None:
    return None if rate.value is None else [round(one, 4) for one in (rate.value, rate.low, rate.high)]


def _of_tenant(tenant: str, shown: str) -> bool:
    """Whether something of a tenant belongs into a view; that of all tenants shows everything."""
    return shown in (OVERALL, tenant)


def _newer(kept: list[Kept], after: int) -> list[orjson.Fragment]:
    return [orjson.Fragment(one.json) for one in kept if one.revision > after]


def _length(spec: str) -> tuple[int, str]:
    """Return the length of a kind of window in seconds, to put them in order; what is no such name comes last."""
    size = spec.split("/", 1)[0]
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(size[-1:], 0)
    return (int(size[:-1]) * unit if unit and size[:-1].isascii() and size[:-1].isdigit() else 1 << 40, spec)
