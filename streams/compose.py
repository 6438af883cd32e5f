"""A verdict from its parts. No decision is taken here."""

from model.classifier import Member, ModelInfo, Prediction
from model.decision import Decision
from model.pixels import Header, Pixels
from schemas.image_ref import ImageRef
from schemas.incoming import Record, Reference
from schemas.verdict import (
    REAL,
    Explanation,
    JudgedObject,
    MemberOpinion,
    ModelStamp,
    SourceRecord,
    Timing,
    Verdict,
)
from streams.objects import Original


def compose(
    *,
    record: Record,
    reference: Reference,
    original: Original,
    seen: Pixels | Header,
    model: ModelInfo,
    prediction: Prediction | None,
    decision: Decision,
    explanation: Explanation,
    timing: Timing,
    stability_failed: bool = False,
) -> Verdict:
    """Return the verdict of `model`; without a `prediction` (the image is not assessable) it carries no probability."""
    ref = reference.ref
    degraded = (
        *(["overlay_failed"] if explanation.status == "failed" else []),
        *(["stability_failed"] if stability_failed else []),
    )
    return Verdict(
        outcome_id=reference.outcome_id,
        image_id=ref.image_id,
        tenant=ref.tenant,
        event_id=ref.event_id,
        object=_object(ref, original, seen),
        verdict=decision.verdict,
        predicted_source=decision.predicted_source,
        confidence=decision.confidence,
        is_ai_generated=decision.is_ai_generated,
        p_ai=decision.p_ai,
        per_class_probs=decision.per_class_probs,
        p_generator_given_ai=decision.p_generator_given_ai,
        label_set=decision.label_set,
        novelty=decision.novelty,
        stability=decision.stability,
        reasons=decision.reasons,
        members=tuple(_opinion(member, model.classes) for member in prediction.members) if prediction else (),
        explanation=explanation,
        model=_stamp(model),
        source=SourceRecord(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            event_time=ref.event_time or record.timestamp,
            format=reference.format,
        ),
        timing=timing,
        flags=seen.flags,
        status="degraded" if degraded else "ok",
        degraded=degraded,
        external_id=ref.external_id,
        labels=ref.labels,
    )


def _object(ref: ImageRef, original: Original, seen: Pixels | Header) -> JudgedObject:
    return JudgedObject(
        bucket=ref.object.bucket,
        key=ref.object.key,
        version_id=ref.object.version_id,
        etag=original.etag,
        sha256=original.sha256.hex(),
        size_bytes=original.size_bytes,
        format=seen.format,
        width=seen.width,
        height=seen.height,
        frames=seen.frames,
    )


def _opinion(member: Member, classes: tuple[str, ...]) -> MemberOpinion:
    top = max(range(len(classes)), key=lambda index: float(member.probs[index]))
    p_real = float(member.probs[classes.index(REAL)])
    return MemberOpinion(name=member.name, p_ai=min(1.0, max(0.0, 1.0 - p_real)), top=classes[top])


def _stamp(model: ModelInfo) -> ModelStamp:
    return ModelStamp(
        version=model.version,
        sha256=model.sha256,
        kind=model.kind,
        training_data=model.training_data,
        calibration_id=model.calibration_id,
        preprocess_id=model.preprocess_id,
        classes=model.classes,
        prior=model.prior,
    )
