"""The request as it goes out."""

import hashlib

import anthropic
import orjson
from pydantic import TypeAdapter
from support.verdicts import verdict

from schemas.verdict import MemberOpinion
from streams.narrator.facts import facts_of
from streams.narrator.instructions import INSTRUCTIONS, INSTRUCTIONS_ID, Answer, question
from streams.settings import NarratorSettings

SCHEMA = anthropic.transform_schema(Answer)


def asked(found, **changes):
    options = {"model": "claude-haiku-5-5", "max_tokens": 500, "thinking": False, "schema": SCHEMA} | changes
    return question(facts_of(found), **options)


def test_a_request_has_a_fixed_part_and_the_facts():
    """No tools, no temperature, no metadata: the facts are all that differs."""
    one, other = asked(verdict(1)).arguments, asked(verdict(2, p_ai=0.5)).arguments
    assert one.keys() == {"model", "max_tokens", "system", "messages", "output_config", "thinking"}
    assert {name for name in one if one[name] != other[name]} == {"messages"}
    assert one["system"] == INSTRUCTIONS
    assert one["thinking"] == {"type": "disabled"}
    assert orjson.loads(one["messages"][0]["content"]) == facts_of(verdict(1)).values


def test_thinking_is_left_to_the_model_where_it_is_set():
    """Models that always think refuse to be told not to."""
    assert "thinking" not in asked(verdict(), thinking=True).arguments


def test_the_bound_of_a_request_is_its_bytes_and_its_longest_answer():
    """No tokenizer makes more tokens than bytes; 1,000 more of them may be answered, so 1,000 more are set aside."""
    small, large = asked(verdict()), asked(verdict(), max_tokens=1500)
    assert small.most_tokens == len(orjson.dumps(small.arguments)) + 500
    assert large.most_tokens - small.most_tokens == 1001  # and one byte more to say so


def test_the_smallest_budget_pays_for_the_largest_request():
    """Else a narrator would skip every verdict, on every day."""
    classes = tuple(f"a{n}{'b' * 29}" for n in range(10, 90))
    stamp = verdict().model.model_copy(update={"classes": classes})
    found = verdict(
        model=stamp,
        per_class_probs=dict.fromkeys(classes, 1 / 80),
        members=(MemberOpinion(name="cnn", p_ai=0.1234567, top=classes[0]),) * 20,
    )
    [smallest] = [
        bound.ge for bound in NarratorSettings.model_fields["tokens_per_day"].metadata if hasattr(bound, "ge")
    ]
    [largest] = [bound.le for bound in NarratorSettings.model_fields["max_tokens"].metadata if hasattr(bound, "le")]
    assert asked(found, max_tokens=largest).most_tokens < smallest


def test_the_form_is_one_that_the_api_takes():
    """It takes no bounds, so they are text, and nothing may be added."""
    assert SCHEMA["additionalProperties"] is False
    assert SCHEMA["required"] == ["verdict", "summary", "evidence", "caution"]
    assert "maxLength: 400" in SCHEMA["properties"]["summary"]["description"]
    assert "maxLength" not in SCHEMA["properties"]["summary"]
    assert TypeAdapter(Answer).json_schema()["properties"]["summary"]["maxLength"] == 400


def test_instructions_are_numbered():
    """Whoever changes the text changes the number: a narrative says to which instructions it was written."""
    digest = hashlib.sha256(INSTRUCTIONS.encode() + orjson.dumps(SCHEMA)).hexdigest()[:12]
    assert (INSTRUCTIONS_ID, digest) == ("narrate-1", "56a15e0b0e7a")
