"""One verdict, asked about within the budget, tried again where that may help."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
import stamina
from support.verdicts import doubtful

from schemas.errors import AnswerUnusable, ApiRefused, ApiUnavailable
from schemas.narrative import Narrative, Narrator
from streams.narrator.breaker import Breaker
from streams.narrator.budget import DailyBudget
from streams.narrator.claude import Reply
from streams.narrator.metrics import NarratorMetrics
from streams.narrator.narrating import Narrating, Skipped
from streams.settings import NarratorSettings

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANSWER = {"verdict": "inconclusive", "summary": "Not decided.", "evidence": ["probability"], "caution": "weak_evidence"}


def reply(fault=None, used=(700, 90), **changes):
    return Reply(json.dumps(ANSWER | changes), *used, fault)


def away(retry_after_s=None, maybe_paid=False):
    return ApiUnavailable("away", why="HTTP 529", retry_after_s=retry_after_s, maybe_paid=maybe_paid)


class Scripted:
    """Answers as it is told, in order."""

    def __init__(self, *script):
        self.answer_schema = {}
        self.script = list(script)
        self.asked = 0

    async def ask(self, question):
        self.asked += 1
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return await answer()
        return answer


@pytest.fixture(autouse=True)
def no_waiting():
    """Tries follow each other at once."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@pytest.fixture
def make(tmp_path):
    """Makes a narrating over a script; what was used of the budget is `spent()`."""

    class Made:
        def __init__(self, *script, **changes):
            pause_s = changes.pop("pause_s", 3600)
            settings = NarratorSettings(api_key="k", tokens_per_day=changes.pop("tokens_per_day", 20_000), **changes)
            self.model = Scripted(*script)
            self.metrics = NarratorMetrics()
            self.breaker = Breaker(
                failures_in_a_row=settings.failures_in_a_row, pause_first_s=pause_s, pause_last_s=pause_s
            )
            self.budget = DailyBudget(tmp_path, settings.tokens_per_day, now=lambda: NOON)
            self.narrating = Narrating(
                self.model,
                settings,
                budget=self.budget,
                breaker=self.breaker,
                metrics=self.metrics,
                now=lambda: NOON,
            )

        def spent(self):
            return 20_000 - self.budget.left()

        async def narrate(self):
            return await self.narrating.narrate(doubtful(7), ("inconclusive",))

    return Made


async def test_a_verdict_becomes_a_narrative(make):
    """With its ids, why it was selected, and what it cost."""
    made = make(reply())
    assert await made.narrate() == Narrative(
        outcome_id=f"{7:040x}",
        image_id="image-7",
        tenant="acme",
        verdict="inconclusive",
        summary="Not decided.",
        evidence=("probability",),
        caution="weak_evidence",
        selected_for=("inconclusive",),
        model_version="m-1",
        narrator=Narrator(model="claude-haiku-5-5", instructions="narrate-1", input_tokens=700, output_tokens=90),
        written_at=NOON,
    )
    assert made.spent() == 790
    assert made.metrics.registry.get_sample_value("deeptrace_explain_tokens_total", {"kind": "input"}) == 700
    assert made.metrics.registry.get_sample_value("deeptrace_explain_tokens_total", {"kind": "output"}) == 90


@pytest.mark.parametrize(
    ("first", "cost"),
    [
        (away(), 0),
        (reply(summary="Ask evil.example"), 790),
        (reply(fault="truncated"), 790),
    ],
)
async def test_a_second_try_may_succeed(make, first, cost):
    """What a first answer cost is counted, also when it cannot be used."""
    made = make(first, reply())
    assert (await made.narrate()).summary == "Not decided."
    assert (made.model.asked, made.spent()) == (2, 790 + cost)


@pytest.mark.parametrize(
    ("script", "changes", "error", "asked"),
    [
        ([away(), away()], {}, ApiUnavailable, 2),
        ([away()], {"attempts": 1}, ApiUnavailable, 1),
        ([away(retry_after_s=11)], {}, ApiUnavailable, 1),
        ([ApiRefused("no")], {}, ApiRefused, 1),
        ([reply(fault="declined")], {}, AnswerUnusable, 1),
        ([reply(verdict="real"), reply(verdict="real")], {"attempts": 3}, AnswerUnusable, 2),
    ],
)
async def test_what_does_not_help_is_not_tried_again(make, script, changes, error, asked):
    """A refusal stands, an unusable answer gets one more chance, and a long wait is a pause for all."""
    made = make(*script, **changes)
    with pytest.raises(error):
        await made.narrate()
    assert made.model.asked == asked


async def test_without_budget_nothing_is_asked(make):
    """Two requests' worst cases do not fit into what is left, so the second is not sent; a third fits again once the first was cheap."""
    made = make(reply(), reply())
    made.budget.reserve(19_000)
    with pytest.raises(Skipped) as skipped:
        await made.narrate()
    assert (skipped.value.reason, made.model.asked) == ("budget", 0)


async def test_a_budget_that_ends_between_two_tries_leaves_the_first_failure(make):
    """The verdict was asked about, so it is not counted as skipped."""
    made = make(reply(used=(19_000, 0), verdict="real"), reply())
    with pytest.raises(AnswerUnusable):
        await made.narrate()
    assert made.model.asked == 1


@pytest.mark.parametrize("lost", [away(maybe_paid=True), AnswerUnusable("no form", fault="unreadable")])
async def test_what_may_have_been_paid_for_counts_as_spent(make, lost):
    """A request that nobody saw the end of keeps its reservation."""
    made = make(lost, attempts=1)
    with pytest.raises((ApiUnavailable, AnswerUnusable)):
        await made.narrate()
    assert made.spent() > 2500


async def test_a_request_that_is_cut_off_counts_as_spent(make):
    """The narrator stops; the API goes on and is paid."""
    reached = asyncio.Event()

    async def hang():
        reached.set()
        await asyncio.Event().wait()

    made = make(hang)
    task = asyncio.create_task(made.narrate())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.spent() > 2500


async def test_after_failures_in_a_row_nothing_is_asked_for_a_while(make):
    """Three narratives with two tries: the fifth failure opens the breaker, the sixth request is not sent."""
    made = make(*[away()] * 9)
    for _ in range(3):
        with pytest.raises(ApiUnavailable):
            await made.narrate()
    with pytest.raises(Skipped) as skipped:
        await made.narrate()
    assert (skipped.value.reason, made.model.asked, made.breaker.why_open) == ("paused", 5, "HTTP 529")


async def test_an_api_that_asks_for_a_long_wait_is_left_alone_at_once(make):
    """The next verdict is not even asked about."""
    made = make(away(retry_after_s=60))
    with pytest.raises(ApiUnavailable):
        await made.narrate()
    with pytest.raises(Skipped):
        await made.narrate()
    assert made.model.asked == 1


async def test_a_budget_that_cannot_be_written_stops_the_spending(make, tmp_path):
    """What could not be counted is not spent, and the trial after a pause is not used up by it: the next verdict may be one."""
    made = make(away(retry_after_s=60), reply(), pause_s=0)
    with pytest.raises(ApiUnavailable):
        await made.narrate()
    (tmp_path / "budget.json.new").mkdir()
    with pytest.raises(Skipped) as skipped:
        await made.narrate()
    assert (skipped.value.reason, made.model.asked) == ("budget_unwritable", 1)
    (tmp_path / "budget.json.new").rmdir()
    assert (await made.narrate()).summary == "Not decided."
