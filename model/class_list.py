"""Which class lists can be served. It comes from the checkpoint, so it is checked when one is opened and not when a verdict fails."""

from collections.abc import Sequence
from typing import Final

import orjson

from schemas.errors import CheckpointRefused
from schemas.verdict import MAX_VERDICT_BYTES, REAL, UNKNOWN_GENERATOR

REPEATED_BYTES: Final = 1280
"""Room in a verdict (`MAX_VERDICT_BYTES`) for what it repeats of its checkpoint, beside the largest texts that a producer may have echoed."""

_NAMED: Final = 6
"""How often a verdict names one class beside the list: source, target of the overlay, the top of three branches, a spare."""


def check_classes(classes: Sequence[str], *, version: str = "", training_data: str = "") -> None:
    """Refuse a class list that no verdict can be made from, or none of at most 8 KiB.

    Raises:
        CheckpointRefused: fewer than two classes, repeats, no class `real`, one called `unknown_generator`, or a list too long.
    """
    if (
        len(classes) < 2  # noqa: PLR2004
        or len(set(classes)) != len(classes)
        or REAL not in classes
        or UNKNOWN_GENERATOR in classes
    ):
        raise CheckpointRefused(
            "the checkpoint's class list cannot be used",
            why=f"it needs two or more different classes, one of them {REAL!r} and none {UNKNOWN_GENERATOR!r}",
            remedy="Train with a class `real` beside the generators.",
        )
    repeated = len(orjson.dumps([*classes, version, training_data])) + _NAMED * max(map(len, classes))
    if repeated > REPEATED_BYTES:
        raise CheckpointRefused(
            "the checkpoint's class list is too long",
            why=f"every verdict repeats it: {repeated} bytes of the {REPEATED_BYTES} that a verdict of {MAX_VERDICT_BYTES} has for it",
            remedy="Give the classes shorter names (40 classes of 20 letters fit), or train with fewer of them.",
        )
