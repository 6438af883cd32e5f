"""What the language model wrote, treated as a stranger's text: it is published only if it fits, and holds nothing but what it was told."""

import re
import unicodedata
from typing import Final

from pydantic import ValidationError

from schemas.errors import AnswerUnusable
from streams.narrator.facts import Facts
from streams.narrator.instructions import Answer

MAX_ANSWER_BYTES: Final = 16 * 1024
PLAIN_COUNTS: Final = 12
"""Whole numbers up to this may be the writer's own count ("two of three branches"); above, and with a point or a percent sign, they must be ours."""

_LINK = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|\bwww\.|\bmailto:|[\w.+-]@\w|[a-z0-9-]{2,}[.\u3002][a-z]{2,}")
_MARKUP = re.compile(r"<[A-Za-z/!?]|\]\(|`|&#?\w+;")
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.(\d+))?)\s*(%|per\s?cent\b)?")
_ANYWAY = (0.0, 0.5, 1.0)  # "near 50 %" says where the middle is


def read_answer(text: str, facts: Facts) -> Answer:
    """Return the answer, its summary clean.

    Raises:
        AnswerUnusable: with the `fault` `invalid` (not the form), `contradiction` (another verdict, evidence that is not there, or silence
            about a model of simulated images), `empty`, `link`, `markup` or `unfounded` (a number that is none of the verdict's).
    """
    if len(text.encode(errors="replace")) > MAX_ANSWER_BYTES:
        raise _unusable("invalid")
    try:
        answer = Answer.model_validate_json(text)
    except ValidationError:
        raise _unusable("invalid") from None  # its text repeats the input
    silent = "training_data" in facts.kinds and answer.caution != "simulated_model"
    if answer.verdict != facts.verdict or silent or not facts.kinds.issuperset(answer.evidence):
        raise _unusable("contradiction")
    summary = clean(answer.summary)
    for fault, is_there in (("empty", not summary), ("link", has_link(summary)), ("markup", _MARKUP.search(summary))):
        if is_there:
            raise _unusable(fault)
    if not founded(summary, facts.numbers):
        raise _unusable("unfounded")
    return answer.model_copy(update={"summary": summary, "evidence": list(dict.fromkeys(answer.evidence))})


def clean(text: str) -> str:
    """Return `text` on one line, without what is not seen: control, format (direction marks) and unassigned characters."""
    spaced = "".join(" " if c.isspace() else c for c in text)
    seen = (c for c in spaced if unicodedata.category(c)[0] != "C")
    return " ".join("".join(seen).split())


def has_link(text: str) -> bool:
    """Whether there is anything that a client would make a link of; characters that look like others count as those."""
    return _LINK.search(unicodedata.normalize("NFKC", text)) is not None


def founded(text: str, numbers: frozenset[float]) -> bool:
    """Whether every figure in `text` is one of `numbers` (or what a probability lacks to 1), rounded to the digits that are written."""
    known = (*map(abs, numbers), *(1 - n for n in numbers if 0 <= n <= 1), *_ANYWAY)
    for written, decimals, percent in _NUMBER.findall(unicodedata.normalize("NFKC", text)):
        value, scale = float(written), 10.0 ** -len(decimals)
        if percent:
            value, scale = value / 100, scale / 100
        elif not decimals and value <= PLAIN_COUNTS:
            continue
        if not any(abs(value - number) <= scale / 2 + 1e-9 for number in known):
            return False
    return True


def _unusable(fault: str) -> AnswerUnusable:
    return AnswerUnusable("the language model's answer is not published", fault=fault)
