"""Verdicts for tests that are not about how they come to be."""

from typing import Any

from schemas.verdict import Explanation, JudgedObject, MemberOpinion, ModelStamp, SourceRecord, Timing, Verdict

CLASSES = ("stable_diffusion", "midjourney", "dalle3", "flux", "real")


def verdict(number: int = 1, **changes: Any) -> Verdict:
    """Return a verdict that says FLUX with 93 %, but for `changes`."""
    fields: dict[str, Any] = {
        "outcome_id": f"{number:040x}",
        "image_id": f"image-{number}",
        "tenant": "acme",
        "event_id": f"event-{number}",
        "object": JudgedObject(
            bucket="images", key=f"a/{number}.png", sha256="0" * 64, size_bytes=9, format="png", width=640, height=480
        ),
        "verdict": "ai_generated",
        "predicted_source": "flux",
        "confidence": 0.9312,
        "is_ai_generated": True,
        "p_ai": 0.9312,
        "per_class_probs": {
            "stable_diffusion": 0.11,
            "midjourney": 0.05,
            "dalle3": 0.04,
            "flux": 0.7312,
            "real": 0.0688,
        },
        "members": (
            MemberOpinion(name="cnn", p_ai=0.91, top="flux"),
            MemberOpinion(name="vit", p_ai=0.88, top="flux"),
            MemberOpinion(name="fft", p_ai=0.97, top="dalle3"),
        ),
        "explanation": Explanation(status="skipped"),
        "model": ModelStamp(
            version="m-1",
            sha256="1" * 64,
            kind="trained",
            training_data="public-2026",
            calibration_id="c",
            preprocess_id="p",
            classes=CLASSES,
        ),
        "source": SourceRecord(topic="deeptrace.images.v1", partition=0, offset=number, format="native"),
        "timing": Timing(queue_ms=1, fetch_ms=1, decode_ms=1, infer_ms=1, overlay_ms=0, processing_ms=4, batch_size=1),
    }
    return Verdict(**(fields | changes))


def doubtful(number: int = 1, **changes: Any) -> Verdict:
    """Return a verdict that a narrator takes by default."""
    undecided = {"verdict": "inconclusive", "predicted_source": None, "is_ai_generated": None, "confidence": 0.5712}
    return verdict(number, **(undecided | {"p_ai": 0.5712, "reasons": ("weak_evidence",)} | changes))
