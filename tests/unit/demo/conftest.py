"""Records as they lie on the topics of a demo, made from a few words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.errors import ImageTruncated
from schemas.image_ref import ImageRef, ObjectRef
from schemas.incoming import Intake, Record, Reference
from schemas.topics import record_key
from schemas.verdict import (
    Explanation,
    JudgedObject,
    MemberOpinion,
    ModelStamp,
    SourceRecord,
    Timing,
    Verdict,
)
from schemas.window import DriftAlert, WindowSummary
from streams.demo.sending import TENANT, Parcel, Sent
from streams.demo.tally import Tally
from streams.outcomes import Outcome, dead_letter_outcome, verdict_outcome

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
INTAKE = Intake(frozenset({"deeptrace-images"}), "deeptrace-overlays", "overlays/")
MODEL = ModelStamp(
    version="demo-1",
    sha256="f" * 64,
    kind="demo_simulated",
    training_data="simulated-v1",
    calibration_id="c1",
    preprocess_id="p1",
    classes=("real", "flux"),
)


@dataclass
class Topics:
    """What is on the topics; offsets count up."""

    tally: Tally = field(default_factory=lambda: Tally(INTAKE))
    offset: int = 0

    def publish(self, name: str, *, label: str | None = None, expected: str | None = None) -> tuple[Sent, Record]:
        """Return a reference that was sent, and its record on the images topic, which the tally has not seen yet."""
        ref = ImageRef(
            event_id=f"event-{name}",
            tenant=TENANT,
            image_id=name,
            object=ObjectRef(bucket="deeptrace-images", key="uploads/a"),
        )
        key = record_key(TENANT, name)
        headers = write_headers(event_id=ref.event_id, source="/test", event_type="image", subject=name, time=NOON)
        self.offset += 1
        record = Record(topics.IMAGES, 0, self.offset, key, ref.to_bytes(), headers, NOON)
        sent = Sent(Parcel(name, Path(name), label, expected), key, name)
        self.tally.expect([sent])
        return sent, record

    def verdict(self, record: Record, *, real: float = 0.25, overlay: str = "written", **changes: Any) -> Record:
        """Return the record of a verdict on `record`, but for `changes`."""
        [reference] = INTAKE.read(record)
        assert isinstance(reference, Reference)
        verdict = Verdict(
            outcome_id=reference.outcome_id,
            image_id=reference.ref.image_id,
            tenant=TENANT,
            event_id=reference.ref.event_id,
            object=JudgedObject(
                bucket="deeptrace-images", key="k", sha256="a" * 64, size_bytes=9, format="JPEG", width=640, height=480
            ),
            verdict="real" if real > 0.5 else "ai_generated",
            predicted_source="real" if real > 0.5 else "flux",
            confidence=max(real, 1 - real),
            p_ai=1 - real,
            per_class_probs={"real": real, "flux": 1 - real},
            members=(MemberOpinion(name="cnn", p_ai=0.5, top="flux"),),
            explanation=Explanation(status=overlay, target_class="flux"),
            model=MODEL,
            source=SourceRecord(topic=record.topic, partition=0, offset=record.offset, format="native"),
            timing=Timing(
                queue_ms=1, fetch_ms=2, decode_ms=3, infer_ms=4, overlay_ms=5, processing_ms=14, batch_size=8
            ),
            flags=("low_res",),
        )
        return self._outcome(verdict_outcome(verdict.model_copy(update=changes), record))

    def dead_letter(self, record: Record) -> Record:
        """Return the record of a dead letter for `record`: its image is truncated."""
        [incoming] = INTAKE.read(record)
        error = ImageTruncated("the JPEG ends before its pixels do")
        return self._outcome(dead_letter_outcome(incoming.outcome_id, record, error, stage="decode", attempts=1))

    def window(self, *, images: int, kl: float | None = None) -> Record:
        """Return the record of a window in which everything was flux."""
        summary = WindowSummary(
            window_id=f"window-{images}",
            tenant=TENANT,
            start=NOON,
            end=NOON,
            images=images,
            counts={"flux": images},
            probability_sums={"flux": float(images)},
            verdicts={"ai_generated": images},
            reference={"real": 0.75, "flux": 0.25},
            kl_current_reference_nats=kl,
        )
        return Record(topics.WINDOWS, 0, 0, None, summary.to_bytes())

    def alert(self, window: Record) -> Record:
        """Return the record of the alert that `window` calls for."""
        summary = WindowSummary.from_bytes(window.value or b"")
        assert summary.kl_current_reference_nats is not None
        alert = DriftAlert(
            alert_id="alert-1",
            window_id=summary.window_id,
            tenant=TENANT,
            start=NOON,
            end=NOON,
            images=summary.images,
            value=summary.kl_current_reference_nats,
            threshold=0.25,
            most_grown="flux",
            most_shrunk="real",
            shares={"flux": 1.0, "real": 0.0},
            reference={"flux": 0.25, "real": 0.75},
        )
        return Record(topics.DRIFT_ALERTS, 0, 0, None, alert.to_bytes())

    def _outcome(self, outcome: Outcome) -> Record:
        self.offset += 1
        return Record(outcome.topic, 0, self.offset, outcome.key, outcome.value, outcome.headers, NOON)


@pytest.fixture(scope="session")
def new_topics() -> Callable[[], Topics]:
    """Make empty topics, for tests that need several."""
    return Topics


@pytest.fixture
def topic(new_topics: Callable[[], Topics]) -> Topics:
    """Empty topics."""
    return new_topics()
