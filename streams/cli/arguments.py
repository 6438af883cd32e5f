"""How places and moments are written on the command line."""

import re
from datetime import UTC, datetime, timedelta

from schemas.errors import UsageError

_AGO = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)


def parse_place(text: str) -> tuple[int, int]:
    """Return partition and offset.

    Raises:
        UsageError: `text` is not PARTITION:OFFSET.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text}: not a place", remedy="Write PARTITION:OFFSET, such as 3:1200.")
    return int(found[1]), int(found[2])


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that `text` names: RFC 3339, or how long ago (`90s`, `30m`, `2h`, `3d`).

    Raises:
        UsageError: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago["unit"]]: int(ago["number"])})
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"{text}: not a moment", remedy="Write how long ago (90s, 30m, 2h, 3d) or RFC 3339 (2026-11-22T10:00:00Z)."
    )
