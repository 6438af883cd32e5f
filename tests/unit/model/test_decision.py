"""Probabilities to a verdict: the two levels, what withholds it, and what it says beside."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.abstention import Abstention, ConformalRule, DecisionRule, NoveltyRule
from model.classifier import ModelInfo, Prediction
from model.decision import band_of, decide, stability_of, why_not_assessable
from model.decode import from_array
from model.embedding import packed
from model.pixels import Header, cut
from schemas.errors import InferenceFailed
from schemas.verdict import LabelSet, Novelty, Stability

CLASSES = ("flux", "real", "dalle3")
RULES = Abstention(
    fitted_on="laundered",
    decision=DecisionRule(
        ai_from=0.8, real_to=0.3, false_positive_rate=0.01, false_negative_rate=0.05, reals=40, generated=160
    ),
    novelty=NoveltyRule(method="mahalanobis", threshold=20.0, false_rejection_rate=0.05, images=200),
    conformal=ConformalRule(coverage=0.9, least_probability=0.2, images=200),
)
STEADY, TURNING = (Stability(views=3, flips=flips, p_ai_min=0.1, p_ai_max=0.9) for flips in (0, 1))


def model(abstention=RULES, *, sha256="a" * 64, classes=CLASSES):
    return ModelInfo(
        version="1",
        sha256=sha256,
        calibration_id="c",
        preprocess_id="p",
        classes=classes,
        training_data="none",
        kind="fake",
        abstention=abstention,
    )


def answer(*probs, novelty=None, abstention=RULES, sha256="a" * 64, **place):
    return Prediction(np.array(probs), model(abstention, sha256=sha256), novelty=novelty, **place)


@pytest.mark.parametrize(
    ("probs", "verdict", "source", "is_ai", "confidence", "reasons"),
    [
        ((0.7, 0.1, 0.2), "ai_generated", "flux", True, 0.9, ()),
        ((0.2, 0.2, 0.6), "ai_generated", "dalle3", True, 0.8, ()),
        ((0.1, 0.8, 0.1), "real", "real", False, 0.8, ()),
        ((0.2, 0.71, 0.09), "real", "real", False, 0.71, ()),
        ((0.4, 0.45, 0.15), "inconclusive", None, None, 0.55, ("weak_evidence",)),
        ((0.5, 0.21, 0.29), "inconclusive", None, None, 0.79, ("weak_evidence",)),
    ],
)
def test_the_checkpoint_says_from_where_on_it_is_ai(probs, verdict, source, is_ai, confidence, reasons):
    """AI or not comes first; the source is read off only when the verdict is given."""
    decision = decide(answer(*probs))
    assert (decision.verdict, decision.predicted_source, decision.is_ai_generated) == (verdict, source, is_ai)
    assert decision.confidence == pytest.approx(confidence)
    assert decision.reasons == reasons


@pytest.mark.parametrize(
    ("p_real", "verdict"), [(0.41, "inconclusive"), (0.4, "ai_generated"), (0.59, "inconclusive"), (0.61, "real")]
)
def test_a_checkpoint_without_rules_is_believed_from_sixty_percent_on(p_real, verdict):
    """One from before the calibration of abstention, and the fake classifier."""
    assert decide(answer(1 - p_real, p_real, 0.0, abstention=None)).verdict == verdict


@pytest.mark.parametrize(
    ("p_real", "least", "verdict"),
    [(0.15, 0.9, "inconclusive"), (0.25, 0.7, "ai_generated"), (0.75, 0.7, "real"), (0.5, 0.0, "ai_generated")],
)
def test_the_setting_overrides_the_rule_of_the_checkpoint(p_real, least, verdict):
    """The same on both sides; under one half it is one half, or an image would be both."""
    assert decide(answer(1 - p_real, p_real, 0.0), min_confidence=least).verdict == verdict


def test_what_is_ai_and_like_no_known_class_comes_from_an_unknown_generator():
    """It is a verdict, and names no class; how the known generators compare is still said."""
    decision = decide(answer(0.7, 0.1, 0.2, novelty=20.1))
    assert (decision.verdict, decision.predicted_source, decision.is_ai_generated) == (
        "ai_generated",
        "unknown_generator",
        True,
    )
    assert (decision.confidence, decision.reasons) == (pytest.approx(0.9), ())
    assert decision.novelty == Novelty(score=20.1, threshold=20.0, method="mahalanobis")
    assert decision.p_generator_given_ai == {"flux": pytest.approx(7 / 9), "dalle3": pytest.approx(2 / 9)}


def test_a_photograph_like_no_known_class_is_withheld():
    """Detectors lean to real on what they have never seen: so looks a new generator."""
    decision = decide(answer(0.05, 0.9, 0.05, novelty=25.0))
    assert (decision.verdict, decision.predicted_source, decision.reasons) == ("inconclusive", None, ("novel",))
    assert decide(answer(0.05, 0.9, 0.05, novelty=20.0)).verdict == "real"


def test_all_reasons_are_given():
    """Weak, novel and unstable at once."""
    decision = decide(answer(0.4, 0.45, 0.15, novelty=25.0), stability=TURNING)
    assert decision.reasons == ("weak_evidence", "novel", "unstable")


@pytest.mark.parametrize("probs", [(0.9, 0.05, 0.05), (0.05, 0.9, 0.05)])
def test_a_verdict_that_turns_on_the_way_is_withheld(probs):
    """One view that leans the other way is enough; a steady image keeps its verdict."""
    assert decide(answer(*probs), stability=TURNING).reasons == ("unstable",)
    assert decide(answer(*probs), stability=TURNING).verdict == "inconclusive"
    assert decide(answer(*probs), stability=STEADY).verdict != "inconclusive"
    assert decide(answer(*probs), stability=STEADY).stability == STEADY


def test_only_what_is_novel_says_where_it_lies():
    """With the class it is least unlike and the 32 bytes of its place; one under the threshold has neither, whatever the model gave."""
    place = np.array([1.0, -1.0] * 16, np.float32)
    novel, known = (
        decide(answer(0.7, 0.1, 0.2, novelty=novelty, nearest="dalle3", place=place)).novelty
        for novelty in (20.1, 20.0)
    )
    assert (novel.nearest, novel.embedding) == ("dalle3", packed(place))
    assert (known.nearest, known.embedding) == (None, None)


@pytest.mark.parametrize("place", [None, np.full(32, math.nan, np.float32)], ids=["none", "not finite"])
def test_a_novel_image_without_a_place_is_novel_all_the_same(place):
    """The verdict does not hang on it."""
    decision = decide(answer(0.7, 0.1, 0.2, novelty=20.1, nearest="flux", place=place))
    assert (decision.predicted_source, decision.novelty.nearest) == ("unknown_generator", "flux")
    assert decision.novelty.embedding is None


def test_without_an_open_set_nothing_is_novel():
    """The distance was not computed, or there is no threshold for it."""
    bare = RULES.model_copy(update={"novelty": None})
    assert decide(answer(0.7, 0.1, 0.2)).novelty is None
    assert decide(answer(0.7, 0.1, 0.2, novelty=99.0, abstention=bare)).predicted_source == "flux"


@pytest.mark.parametrize(
    ("probs", "labels"),
    [
        ((0.5, 0.3, 0.2), ("flux", "real", "dalle3")),
        ((0.1, 0.85, 0.05), ("real",)),
        ((0.15, 0.7, 0.15), ("real",)),
    ],
)
def test_the_label_set_holds_what_is_likely_enough(probs, labels):
    """Likeliest first, at the coverage of the rule."""
    assert decide(answer(*probs)).label_set == LabelSet(coverage=0.9, labels=labels)


def test_the_label_set_is_never_empty():
    """Where no class is likely enough, the likeliest stands for all."""
    strict = RULES.model_copy(update={"conformal": ConformalRule(coverage=0.1, least_probability=0.95, images=20)})
    assert decide(answer(0.2, 0.5, 0.3, abstention=strict)).label_set.labels == ("real",)


def test_certainly_real_has_no_generator_given_ai():
    """Nothing is divided by zero: absent means not computed."""
    assert decide(answer(0.0, 1.0, 0.0)).p_generator_given_ai is None


@pytest.mark.parametrize(
    "broken", [{"probs": (math.nan, 0.5, 0.5)}, {"probs": (math.inf, 0.0, 0.0)}, {"novelty": math.nan}], ids=str
)
def test_what_is_no_number_is_never_a_verdict(broken):
    """NaN must not become `real` with full confidence, nor `known` by a comparison that is false."""
    with pytest.raises(InferenceFailed):
        decide(answer(*broken.get("probs", (0.1, 0.8, 0.1)), novelty=broken.get("novelty")))


@given(
    weights=st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.001),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    novelty=st.none() | st.floats(0, 1e6),
    flips=st.none() | st.integers(0, 3),
    least_probability=st.floats(0, 1),
    min_confidence=st.none() | st.floats(0, 1),
)
def test_every_decision_is_consistent(weights, cuts, novelty, flips, least_probability, min_confidence):
    """Property: finite numbers give a decision, whose parts agree with each other whatever the rules are."""
    rules = Abstention(
        fitted_on="laundered",
        decision=DecisionRule(
            ai_from=cuts[1], real_to=cuts[0], false_positive_rate=0, false_negative_rate=0, reals=1, generated=1
        ),
        novelty=NoveltyRule(method="m", threshold=5.0, false_rejection_rate=0.05, images=1),
        conformal=ConformalRule(coverage=0.9, least_probability=least_probability, images=1),
    )
    probs = np.array(weights) / sum(weights)
    stability = None if flips is None else Stability(views=3, flips=flips, p_ai_min=0, p_ai_max=1)
    decision = decide(
        answer(*probs, novelty=novelty, abstention=rules), stability=stability, min_confidence=min_confidence
    )
    withheld = decision.verdict == "inconclusive"
    assert withheld == bool(decision.reasons) == (decision.predicted_source is None)
    assert withheld == (decision.is_ai_generated is None)
    assert decision.p_ai == pytest.approx(1 - probs[1])
    stated = {"ai_generated": decision.p_ai, "real": 1 - decision.p_ai}
    assert decision.confidence == stated.get(decision.verdict, max(stated.values()))
    assert (decision.predicted_source == "unknown_generator") == (
        decision.verdict == "ai_generated" and novelty is not None and novelty > 5
    )
    assert withheld or not flips
    if decision.p_generator_given_ai is not None:
        assert sum(decision.p_generator_given_ai.values()) == pytest.approx(1)
    assert CLASSES[int(probs.argmax())] in decision.label_set.labels


def test_views_that_lean_the_other_way_are_flips_and_less_sure_ones_are_none():
    """The middle of the band 0.3 to 0.8 is 0.55: one of these is under it."""
    image = answer(0.9, 0.1, 0.0)
    views = [answer(p_ai, 1 - p_ai, 0.0) for p_ai in (0.75, 0.6, 0.5)]
    assert stability_of(image, views) == Stability(views=3, flips=1, p_ai_min=0.5, p_ai_max=0.75)
    assert stability_of(answer(0.2, 0.8, 0.0), views).flips == 2


def test_views_that_another_model_judged_say_nothing():
    """A model may be exchanged between two batches; the difference would be between models, not images."""
    image, other = answer(0.9, 0.1, 0.0), answer(0.1, 0.9, 0.0, sha256="b" * 64)
    assert stability_of(image, [image, other]) is None
    assert stability_of(image, []) is None


def test_a_view_that_is_no_number_raises():
    """As the image itself would."""
    with pytest.raises(InferenceFailed):
        stability_of(answer(0.9, 0.1, 0.0), [answer(math.nan, math.nan, 0.0)])


def picture(height, width, shade=None):
    if shade is not None:
        return cut(from_array(np.full((height, width, 3), shade, np.uint8)), seed=b"")
    return cut(from_array(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)), seed=b"")


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (picture(32, 500), ()),
        (picture(31, 500), ("too_small",)),
        (picture(300, 300, shade=200), ("blank",)),
        (picture(8, 8, shade=200), ("too_small", "blank")),
        (Header("JPEG", 640, 480), ("truncated",)),
        (Header("JPEG", 640, 16), ("too_small", "truncated")),
    ],
    ids=str,
)
def test_what_cannot_be_assessed_says_why(seen, reasons):
    """Too few pixels, nothing in them, or not all there."""
    assert why_not_assessable(seen) == reasons


def test_the_band_of_a_model_is_that_of_its_own_rule():
    """And leaning is seen from its middle."""
    band = band_of(model())
    assert (band.ai_from, band.real_to) == (0.8, 0.3)
    assert band.leans_to_ai(0.55)
    assert not band.leans_to_ai(0.54)
