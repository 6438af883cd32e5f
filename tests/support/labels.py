"""Labels for tests that are not about where they come from."""

from datetime import UTC, datetime, timedelta
from typing import Any

from support.verdicts import CLASSES

from schemas.label import Label, Labelled

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANNA, BERT = "a" * 16, "b" * 16


def label(number: int = 1, said: str = "correct", *, minute: float = 0, **changes: Any) -> Label:
    """Return Anna's label of the verdict of that number, given at noon."""
    fields = {
        "outcome_id": f"{number:040x}",
        "tenant": "acme",
        "image_id": f"image-{number}",
        "label": said,
        "reviewer": ANNA,
        "labelled_at": NOON + timedelta(minutes=minute),
    }
    return Label(**(fields | changes))


def labelled(one: Label, **stated: Any) -> Labelled:
    """Return the label joined to a verdict that says FLUX with 93 %, but for what is `stated`."""
    fields = {
        "verdict": "ai_generated",
        "predicted_source": "flux",
        "confidence": 0.93,
        "classes": CLASSES,
        "model_version": "m-1",
        "calibration_id": "c",
        "event_time": NOON,
    }
    return Labelled(label=one, **(fields | stated))
