"""What of a verdict may leave the house."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import verdict

from schemas.verdict import (
    Explanation,
    JudgedObject,
    LabelSet,
    MemberOpinion,
    ModelStamp,
    Novelty,
    SourceRecord,
    Stability,
    Verdict,
)
from streams.narrator import facts as module
from streams.narrator.facts import facts_of
from streams.narrator.instructions import question

MARK = "CANARY"
planted = st.text(st.characters(exclude_categories=("C",)), max_size=12).map(lambda text: f"{text}{MARK}{text}")
numbers = st.floats(0, 1)
anything = st.floats() | st.floats(0, 10)


@st.composite
def verdicts(draw):
    """Any verdict, with a mark in every string that is not of a fixed list."""
    classes = tuple(draw(st.lists(planted, min_size=1, max_size=6, unique=True)))
    weights = [1 / len(classes)] * len(classes)
    words = st.lists(planted, max_size=3).map(tuple)
    return verdict(
        outcome_id=draw(planted),
        image_id=draw(planted),
        tenant=draw(planted),
        event_id=draw(planted),
        external_id=draw(planted),
        labels={draw(planted): draw(planted)},
        object=JudgedObject(
            bucket=draw(planted),
            key=draw(planted),
            version_id=draw(planted),
            etag=draw(planted),
            sha256=draw(planted),
            size_bytes=1,
            format=draw(planted),
            width=1,
            height=1,
        ),
        verdict=draw(st.sampled_from(["ai_generated", "real", "inconclusive", "not_assessable"])),
        predicted_source=draw(st.none() | planted | st.sampled_from(classes)),
        per_class_probs=dict(zip(classes, weights, strict=True)),
        p_generator_given_ai=dict(zip(classes, weights, strict=True)),
        label_set=LabelSet(coverage=draw(numbers), labels=classes),
        novelty=Novelty(
            score=draw(anything),
            threshold=draw(anything),
            method=draw(planted),
            nearest=draw(planted),
            embedding=draw(planted),
        ),
        stability=Stability(
            views=draw(st.integers()), flips=draw(st.integers()), p_ai_min=draw(numbers), p_ai_max=draw(numbers)
        ),
        reasons=draw(words),
        members=tuple(
            MemberOpinion(name=draw(planted), p_ai=draw(numbers), top=draw(planted))
            for _ in range(draw(st.integers(0, 9)))
        ),
        explanation=Explanation(
            status=draw(st.sampled_from(["written", "skipped", "withheld", "failed"])),
            bucket=draw(planted),
            key=draw(planted),
            method=draw(planted),
            member=draw(planted),
            target_class=draw(planted | st.sampled_from(classes)),
            faithfulness=draw(st.floats(-1, 1)),
        ),
        model=ModelStamp(
            version=draw(planted),
            sha256=draw(planted),
            kind=draw(planted),
            training_data=draw(planted),
            calibration_id=draw(planted),
            preprocess_id=draw(planted),
            classes=classes,
        ),
        source=SourceRecord(topic=draw(planted), partition=0, offset=0, format="native"),
        flags=draw(words),
        degraded=draw(words),
        reason=draw(st.none() | st.just("replay")),
        replay_of=draw(planted),
    )


@given(verdicts())
def test_nothing_that_somebody_wrote_is_told(found):
    """Property: of a verdict with a mark in every free text, no request holds the mark."""
    asked = question(facts_of(found), model="m", max_tokens=500, thinking=False, schema={})
    assert MARK not in json.dumps(asked.arguments, ensure_ascii=False)


def test_every_field_of_a_verdict_is_known_to_the_test_above():
    """A field that is added to a verdict has to be looked at here: it could be somebody's text."""
    assert set(Verdict.model_fields) == set(
        "schema_ outcome_id image_id tenant event_id object verdict predicted_source confidence is_ai_generated p_ai per_class_probs"
        " p_generator_given_ai label_set novelty stability reasons members explanation model source timing flags status degraded"
        " external_id labels reason replay_of".split()
    )


@given(verdicts())
def test_facts_are_short_json_with_words_of_fixed_lists(found):
    """Property: any verdict's facts are JSON of at most 4,000 bytes, and every string in them is a small word."""
    told = json.dumps(facts_of(found).values, allow_nan=False)
    assert len(told) <= 4000
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", word) for word in re.findall(r'"([^"]*)"', told))


def test_facts_of_a_full_verdict():
    """The numbers, with four digits, and the words that a moderator needs."""
    found = verdict(
        reasons=("novel", "who_knows"),
        flags=("low_res", "made_up"),
        label_set=LabelSet(coverage=0.9, labels=("flux", "dalle3", "elsewhere")),
        novelty=Novelty(score=3.14159265, threshold=2.5, method="mahalanobis"),
        stability=Stability(views=3, flips=1, p_ai_min=0.41, p_ai_max=0.95),
        explanation=Explanation(status="written", target_class="flux", faithfulness=0.12),
    )
    facts = facts_of(found)
    assert facts.values == {
        "verdict": "ai_generated",
        "reasons": ["novel"],
        "model": {"kind": "trained", "trained_on_simulated_images": False},
        "p_ai": 0.9312,
        "confidence_in_verdict": 0.9312,
        "class_probabilities": {
            "flux": 0.7312,
            "stable_diffusion": 0.11,
            "real": 0.0688,
            "midjourney": 0.05,
            "dalle3": 0.04,
        },
        "source": "flux",
        "branches": [
            {"branch": "cnn", "p_ai": 0.91, "likeliest": "flux"},
            {"branch": "vit", "p_ai": 0.88, "likeliest": "flux"},
            {"branch": "fft", "p_ai": 0.97, "likeliest": "dalle3"},
        ],
        "distance_to_known_classes": {"score": 3.142, "threshold": 2.5, "over": True},
        "shipped_again": {"views": 3, "lean_the_other_way": 1, "p_ai_min": 0.41, "p_ai_max": 0.95},
        "label_set": {"coverage": 0.9, "classes": ["flux", "dalle3"]},
        "heat_map": {"status": "written", "class": "flux", "faithfulness_over_chance": 0.12},
        "image_flags": ["low_res"],
    }
    assert facts.kinds == {
        "probability",
        "source",
        "members",
        "novelty",
        "stability",
        "label_set",
        "heat_map",
        "image_flags",
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [("flux", "flux"), ("Secret project", "class_4"), ("flux.1", "class_4"), ("x" * 33, "class_4"), ("", "class_4")],
)
def test_a_class_name_that_is_no_small_word_goes_by_its_number(name, told):
    """A checkpoint may hold any name; only those that look like names are told."""
    stamp = verdict().model.model_copy(update={"classes": ("a", "b", "real", name)})
    found = verdict(model=stamp, predicted_source=name, per_class_probs={name: 0.8, "real": 0.2})
    facts = facts_of(found).values
    assert (facts["source"], facts["class_probabilities"]) == (told, {told: 0.8, "real": 0.2})


def test_a_source_that_is_none_of_the_models_classes_is_not_told():
    """A small word is not enough: it has to be the checkpoint's."""
    assert facts_of(verdict(predicted_source="acme_internal")).values["source"] == "other"
    assert facts_of(verdict(predicted_source="unknown_generator")).values["source"] == "unknown_generator"


def test_a_simulated_model_is_said_to_be_one():
    """Its verdicts mean nothing for real generators, and the reader has to be told."""
    stamp = verdict().model.model_copy(update={"kind": "demo_simulated", "training_data": "simulated-v2"})
    facts = facts_of(verdict(model=stamp))
    assert facts.values["model"] == {"kind": "demo_simulated", "trained_on_simulated_images": True}
    assert "training_data" in facts.kinds


def test_flags_are_those_that_the_decoder_sets():
    """A flag that decoding gains is told only once it is on the list; one that it has lost is to go."""
    import inspect

    from model import colour, decode, pixels

    code = "".join(map(inspect.getsource, (colour, decode, pixels)))
    assert all(f'"{flag}"' in code for flag in module.FLAGS)
