"""The keys that DeepTrace writes. They come from the outcome id alone, never from text that a user sent."""

import re
from typing import Final

OVERLAY_PREFIX: Final = "overlays/"
OUTCOME_PREFIX: Final = "outcomes/"

_OUTCOME_ID = re.compile(r"[0-9a-f]{8,64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


def overlay_key(outcome_id: str, extension: str = "webp") -> str:
    """Return where the overlay of an outcome lies: `overlays/ab/abcdef....webp`, the same for every attempt."""
    return f"{OVERLAY_PREFIX}{_sharded(outcome_id)}.{_checked(extension, _EXTENSION, 'extension')}"


def outcome_key(outcome_id: str) -> str:
    """Return where the settled outcome lies, for whoever settles it by `put_if_absent`."""
    return f"{OUTCOME_PREFIX}{_sharded(outcome_id)}.json"


def is_own_key(key: str) -> bool:
    """Tell whether DeepTrace wrote `key`: an upload notification for it must not be scored."""
    return key.startswith((OVERLAY_PREFIX, OUTCOME_PREFIX))


def _sharded(outcome_id: str) -> str:
    # Two hex digits spread the objects over 256 folders: file-backed servers slow down on huge ones.
    return f"{_checked(outcome_id, _OUTCOME_ID, 'outcome id')[:2]}/{outcome_id}"


def _checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"not an {what}: it must match {pattern.pattern}")
    return text
