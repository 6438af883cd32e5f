"""What the language model wrote is held against what it was told."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdicts import verdict

from schemas.errors import AnswerUnusable
from schemas.verdict import Novelty
from streams.narrator.answer import clean, founded, has_link, read_answer
from streams.narrator.facts import facts_of

FACTS = facts_of(verdict(novelty=Novelty(score=1.234, threshold=2.5, method="x")))
GOOD = {
    "verdict": "ai_generated",
    "summary": "The image is judged AI-generated with 93% and FLUX is likeliest at 73%; all three branches agree.",
    "evidence": ["probability", "members", "probability"],
    "caution": "none",
}


def written(**changes):
    return json.dumps(GOOD | changes)


def test_a_sound_answer_is_read():
    """Repeated evidence is named once."""
    answer = read_answer(written(), FACTS)
    assert answer.summary == GOOD["summary"]
    assert answer.evidence == ["probability", "members"]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "invalid"),
        ("not json", "invalid"),
        ("[]", "invalid"),
        (written(summary="x" * 401), "invalid"),
        (written(summary=""), "invalid"),
        (written(evidence=[]), "invalid"),
        (written(evidence=["gut_feeling"]), "invalid"),
        (written(caution="run"), "invalid"),
        (written(also="this"), "invalid"),
        ('{"verdict": "ai_generated"}', "invalid"),
        (written() + " " * 20_000, "invalid"),
        (written(verdict="real"), "contradiction"),
        (written(evidence=["stability"]), "contradiction"),
        (written(summary="\u0000\u200b\u202e \n"), "empty"),
        (written(summary="See https://evil.example/x for more."), "link"),
        (written(summary="See evil.example for more."), "link"),
        (written(summary="See evil\uff0ecom for more."), "link"),
        (written(summary="Ask a@b"), "link"),
        (written(summary="It is <b>fake</b>."), "markup"),
        (written(summary="It is [fake](x)."), "markup"),
        (written(summary="It is &lt;fake&gt;."), "markup"),
        (written(summary="It is AI-generated with 99%."), "unfounded"),
    ],
)
def test_an_answer_that_may_not_be_published_says_why(answer, fault):
    """Nothing of it is repeated in the error."""
    with pytest.raises(AnswerUnusable) as caught:
        read_answer(answer, FACTS)
    assert (caught.value.fault, str(caught.value)) == (fault, f"the language model's answer is not published: {fault}")


def test_a_simulated_model_may_not_be_passed_over():
    """Its verdicts mean nothing for real generators, whatever else there is to say."""
    stamp = verdict().model.model_copy(update={"training_data": "simulated-v2"})
    facts = facts_of(verdict(model=stamp))
    assert read_answer(written(caution="simulated_model"), facts).caution == "simulated_model"
    with pytest.raises(AnswerUnusable, match="contradiction"):
        read_answer(written(caution="weak_evidence"), facts)


@pytest.mark.parametrize(
    "summary",
    [
        "It stands at 93%.",
        "It stands at 93.1 % and 0.9312 and 0.93.",
        "It stands at 93 per cent; 7% speak for a photograph.",
        "The distance of 1.234 is under the threshold of 2.5.",
        "Two of 3 branches say so; 50% would be the middle.",
        "dalle3 has 4 percent.",
        "No number at all.",
    ],
)
def test_figures_of_the_verdict_are_founded(summary):
    """As they are, rounded, as percentages, and what they lack to 1."""
    assert founded(summary, FACTS.numbers)


@pytest.mark.parametrize(
    "summary",
    ["It stands at 94%.", "It stands at 0.94.", "512px wide.", "As much as 93.2%.", "Seen in 1,400 images.", "At ٩٤%."],
)
def test_other_figures_are_not(summary):
    """A model that makes up figures is not repeated."""
    assert not founded(summary, FACTS.numbers)


@given(st.text(max_size=200))
def test_cleaned_text_is_one_line_of_visible_characters(text):
    """Property: no control, format, private or unassigned character, no line break and no outer space remains."""
    cleaned = clean(text)
    assert all(unicodedata.category(c)[0] != "C" for c in cleaned)
    assert cleaned == " ".join(cleaned.split())


def test_cleaning_keeps_the_words():
    """Direction marks and escapes vanish, breaks become spaces."""
    assert clean("judged\u202e AI\x1b[31m\r\n\tgenerated \u200bhere") == "judged AI[31m generated here"


@pytest.mark.parametrize("text", ["no link here.", "e.g. this", "0.93 vs. 0.5", "3.5 of 4"])
def test_common_text_holds_no_link(text):
    """A point alone makes no link."""
    assert not has_link(text)
