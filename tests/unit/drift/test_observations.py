"""Verdicts to observations."""

from datetime import UTC, datetime

import orjson
import pytest

from schemas.errors import MessageInvalid
from streams.drift.observations import observation_of

WRITTEN_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
VERDICT = {
    "schema": "deeptrace.verdict/1",
    "outcome_id": "o1",
    "image_id": "i1",
    "tenant": "acme",
    "event_id": "e1",
    "object": {"bucket": "b", "key": "k", "sha256": "s", "size_bytes": 1, "format": "PNG", "width": 1, "height": 1},
    "verdict": "ai_generated",
    "predicted_source": "flux",
    "per_class_probs": {"flux": 0.75, "real": 0.25},
    "explanation": {"status": "skipped"},
    "model": {
        "version": "m1",
        "sha256": "s",
        "kind": "fake",
        "training_data": "t",
        "calibration_id": "c",
        "preprocess_id": "p",
        "classes": ["flux", "real"],
    },
    "source": {"topic": "t", "partition": 0, "offset": 0, "event_time": "2026-01-01T11:59:00Z", "format": "native"},
    "timing": dict.fromkeys(
        ["queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms", "batch_size"], 1
    ),
}


def test_an_observation_is_what_windows_need() -> None:
    """Everything else of the verdict stays behind."""
    assert observation_of(orjson.dumps(VERDICT), written_at=WRITTEN_AT).to_json() == {
        "schema": "deeptrace.observation/1",
        "outcome_id": "o1",
        "tenant": "acme",
        "event_time": "2026-01-01T11:59:00.000Z",
        "verdict": "ai_generated",
        "predicted_source": "flux",
        "per_class_probs": {"flux": 0.75, "real": 0.25},
        "model_version": "m1",
    }


def test_without_an_event_time_the_record_time_counts() -> None:
    """An upload that nobody dated happened, for windows, when its verdict was written."""
    source = {name: value for name, value in VERDICT["source"].items() if name != "event_time"}
    observation = observation_of(orjson.dumps(VERDICT | {"source": source}), written_at=WRITTEN_AT)
    assert observation.event_time == WRITTEN_AT


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"schema": "deeptrace.verdict/2"}'])
def test_what_is_no_verdict_is_refused(value) -> None:
    """It raises the error that the agent counts and skips."""
    with pytest.raises(MessageInvalid):
        observation_of(value, written_at=WRITTEN_AT)
