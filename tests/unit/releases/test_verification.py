"""A verdict against itself judged again."""

import pytest

from schemas.verdict import Verdict
from streams.releases.verification import held_against, largest_gap

STORED = {
    "outcome_id": "a" * 40,
    "image_id": "i",
    "tenant": "t",
    "event_id": "e",
    "object": {
        "bucket": "b",
        "key": "k",
        "sha256": "c" * 64,
        "size_bytes": 9,
        "format": "PNG",
        "width": 64,
        "height": 64,
    },
    "verdict": "ai_generated",
    "predicted_source": "flux",
    "confidence": 0.9,
    "is_ai_generated": True,
    "p_ai": 0.9,
    "per_class_probs": {"flux": 0.9, "real": 0.1},
    "p_generator_given_ai": {"flux": 1.0},
    "label_set": {"coverage": 0.9, "labels": ["flux", "real"]},
    "novelty": {"score": 30.0, "threshold": 40.0, "method": "mahalanobis"},
    "members": [{"name": "cnn", "p_ai": 0.8, "top": "flux"}],
    "explanation": {"status": "written", "bucket": "o", "key": "o"},
    "model": {
        "version": "1",
        "sha256": "d" * 64,
        "kind": "trained",
        "training_data": "x",
        "calibration_id": "c",
        "preprocess_id": "p",
        "classes": ["flux", "real"],
    },
    "source": {"topic": "t", "partition": 0, "offset": 5, "format": "native"},
    "timing": dict.fromkeys(("queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms"), 1.0)
    | {"batch_size": 3},
}


def verdict(**changed) -> Verdict:
    return Verdict.model_validate(STORED | changed)


def differing(again, tolerance=1e-5):
    return [row.field for row in held_against(verdict(), again, tolerance=tolerance) if not row.same]


def test_where_and_when_it_was_judged_is_not_compared():
    """Another batch, another offset, no overlay: the same verdict."""
    again = verdict(
        explanation={"status": "skipped"},
        tenant="other",
        external_id="x",
        source={"topic": "t", "partition": 1, "offset": 0, "format": "native"},
        label_set={"coverage": 0.9, "labels": ["real", "flux"]},
    )
    assert differing(again) == []


def test_a_probability_may_move_by_the_tolerance_and_no_more():
    """The libraries sum in another order in another batch."""
    again = verdict(p_ai=0.90001, confidence=0.90001, per_class_probs={"flux": 0.90001, "real": 0.09999})
    assert differing(again) == []
    assert differing(again, tolerance=1e-6) == ["confidence", "p_ai", "p(flux)", "p(real)"]
    assert largest_gap(verdict(), again) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"verdict": "inconclusive", "predicted_source": None, "reasons": ["novel"]}, ["verdict", "source", "reasons"]),
        ({"label_set": {"coverage": 0.9, "labels": ["flux"]}}, ["label set"]),
        ({"label_set": None}, ["label set"]),
        ({"per_class_probs": {"flux": 0.9, "dalle3": 0.1}}, ["p(real)", "p(dalle3)"]),
        ({"p_ai": None}, ["p_ai"]),
        ({"members": []}, ["cnn p_ai"]),
        ({"novelty": None}, ["novelty"]),
        ({"novelty": {"score": 30.1, "threshold": 40.0, "method": "mahalanobis"}}, ["novelty"]),
        ({"object": STORED["object"] | {"sha256": "e" * 64}}, ["image"]),
        ({"model": STORED["model"] | {"sha256": "e" * 64, "calibration_id": "x"}}, ["model", "calibration"]),
    ],
    ids=str,
)
def test_each_field_that_differs_is_named(changed, fields):
    """By the name the table shows."""
    assert differing(verdict(**changed)) == fields
