"""What came of a replay, for people and for programs, and where it is kept."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson

from schemas.base import rfc3339
from storage.store import ObjectStore
from streams.releases.comparison import compare
from streams.rescoring.counts import LEFT_OUT, NAMED, REPEATED, REPLAYED, UNREADABLE, Counts
from streams.rescoring.flips import Flips
from streams.rescoring.terms import Terms
from streams.rescoring.windows import MAX_WINDOWS

PREFIX = "replays/"
DEADLINE_S = 20.0


def report(name: str, terms: Terms, counts: Counts, flips: Flips, *, seconds: float) -> dict[str, Any]:
    """Return all that is known of the replay `name`, of all its runs; `seconds` is what the last one took.

    `compared` may be less than `replayed` where the broker has dropped replayed verdicts since.
    """
    results = counts.total()
    found = compare(flips.pairs)
    matrix: dict[str, dict[str, int]] = {}
    for (old, new), count in sorted(flips.pairs.matrix.items()):
        matrix.setdefault(old, {})[new] = count
    return {
        "name": name,
        "complete": counts.is_complete,
        "written": rfc3339(datetime.now(UTC)),
        "started": rfc3339(terms.started),
        "selection": terms.selection.to_json(),
        "judge": terms.judge.to_json(),
        "replayed": results[REPLAYED],
        "failed": {code: count for code, count in sorted(results.items()) if code not in NAMED},
        "left_out": results[LEFT_OUT],
        "repeated": results[REPEATED],
        "unreadable": results[UNREADABLE],
        "expired": counts.expired,
        "seconds": round(seconds, 3),
        "before": dict(flips.before.most_common()),
        "compared": found.n,
        "flips": found.flips,
        "flip_rate": list(found.flip_rate),
        "to_real": found.to_real,
        "to_ai": found.to_ai,
        "direction_e": found.direction_e,
        "mean_p_ai": None if found.mean_p_ai is None else list(found.mean_p_ai),
        "largest_shift": found.largest_shift,
        "labelled": found.labelled,
        "gained": found.gained,
        "lost": found.lost,
        "label_e": found.label_e,
        "matrix": matrix,
        **_windows(flips),
    }


def _windows(flips: Flips) -> dict[str, Any]:
    """Return the replay's own windows, where they were asked for."""
    if flips.windows is None:
        return {}
    changes = [change.to_json() for change in islice(flips.windows.changes(), MAX_WINDOWS)]
    return {"windows": changes, "windows_left_out": len(flips.windows) - len(changes)}


def keep(store: ObjectStore, bucket: str, name: str, said: dict[str, Any]) -> str:
    """Store the report, in place of that of an earlier run, and return its key.

    Raises:
        BucketMissing, StoreUnavailable, ObjectDenied, ObjectRefused: it is not kept.
    """
    key = f"{PREFIX}{name}.json"
    data = orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    store.put(bucket, key, data, content_type="application/json", deadline_s=DEADLINE_S)
    return key
