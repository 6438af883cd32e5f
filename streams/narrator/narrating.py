"""One verdict into words: asks within the budget, lets the API recover, tries again where that may help, publishes nothing that is not sound."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import stamina
import structlog

from schemas.errors import AnswerUnusable, ApiUnavailable, NarrationFailed
from schemas.narrative import Narrative, Narrator, SelectedFor
from schemas.verdict import Verdict
from streams.narrator.answer import read_answer
from streams.narrator.breaker import Breaker, Permit
from streams.narrator.budget import DailyBudget, Reservation
from streams.narrator.claude import Reply
from streams.narrator.facts import Facts, facts_of
from streams.narrator.instructions import INSTRUCTIONS_ID, Answer, Question, question
from streams.narrator.metrics import NarratorMetrics, Skip
from streams.settings import NarratorSettings

WAIT_S = 0.5
UNUSABLE_TRIES = 2  # a model that cannot keep to the form twice will not the third time

log = structlog.get_logger(__name__)


class LanguageModel(Protocol):
    """What answers: the API, or a double of it."""

    answer_schema: dict[str, object]

    async def ask(self, question: Question) -> Reply:
        """Send one request, once; raises ApiUnavailable, ApiRefused or AnswerUnusable."""
        ...


class Skipped(Exception):
    """The API was not asked; `reason` says why."""

    def __init__(self, reason: Skip) -> None:
        super().__init__(reason)
        self.reason: Skip = reason


class Narrating:
    """Puts verdicts into words, several at once. Lives on the event loop; the budget's file is written in a thread."""

    def __init__(
        self,
        model: LanguageModel,
        settings: NarratorSettings,
        *,
        budget: DailyBudget,
        breaker: Breaker,
        metrics: NarratorMetrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._model = model
        self._settings = settings
        self._budget = budget
        self._breaker = breaker
        self._metrics = metrics
        self._now = now

    async def narrate(self, verdict: Verdict, selected_for: tuple[SelectedFor, ...]) -> Narrative:
        """Return `verdict` in words.

        Raises:
            Skipped: before anything was asked.
            NarrationFailed: after the last try.
        """
        facts = facts_of(verdict)
        asked = question(
            facts,
            model=self._settings.model,
            max_tokens=self._settings.max_tokens,
            thinking=self._settings.thinking,
            schema=self._model.answer_schema,
        )
        tries = 0
        failure: NarrationFailed | None = None

        def wait_for(error: Exception) -> bool | float:
            """Whether to try again, and after how long where the API says so."""
            if isinstance(error, AnswerUnusable):
                return tries < UNUSABLE_TRIES and error.fault != "declined"
            if not isinstance(error, ApiUnavailable):
                return False
            if error.retry_after_s is None:
                return True
            return error.retry_after_s if error.retry_after_s <= self._settings.retry_wait_s else False

        async for attempt in stamina.retry_context(
            on=wait_for,
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=WAIT_S,
            wait_max=self._settings.retry_wait_s,
            wait_jitter=WAIT_S,
        ):
            with attempt:
                tries += 1
                try:
                    reply, answer = await self._try(asked, facts)
                except Skipped:
                    if failure is not None:  # asked before, so it counts as what it failed of
                        raise failure from None
                    raise
                except NarrationFailed as error:
                    failure = error
                    raise
        return self._narrative(verdict, selected_for, reply, answer)

    async def _try(self, asked: Question, facts: Facts) -> tuple[Reply, Answer]:
        permit = self._breaker.permit()
        if permit is None:
            raise Skipped("paused")
        try:
            reply = await self._ask(asked, await self._reserve(asked.most_tokens), permit)
        finally:
            self._breaker.gave_up(permit)
        if reply.fault is not None:
            raise AnswerUnusable("the language model gave no whole answer", fault=reply.fault)
        return reply, read_answer(reply.text, facts)

    async def _ask(self, asked: Question, reserved: Reservation, permit: Permit) -> Reply:
        began = time.monotonic()
        used: int | None = None  # of a request that nobody waits for any more the reservation stands
        try:
            reply = await self._model.ask(asked)
            used = reply.input_tokens + reply.output_tokens
        except ApiUnavailable as error:
            used = None if error.maybe_paid else 0
            patient = error.retry_after_s is None or error.retry_after_s <= self._settings.retry_wait_s
            self._breaker.failed(permit, error.why, retry_after_s=None if patient else error.retry_after_s)
            raise
        except AnswerUnusable as error:
            self._breaker.failed(permit, error.fault)
            raise
        except NarrationFailed as error:
            used = 0
            self._breaker.failed(permit, error.why)
            raise
        finally:
            if used is not None:
                await self._settle(reserved, used)
        self._breaker.answered()
        self._metrics.calls.observe(time.monotonic() - began)
        self._metrics.tokens.labels("input").inc(reply.input_tokens)
        self._metrics.tokens.labels("output").inc(reply.output_tokens)
        return reply

    async def _reserve(self, tokens: int) -> Reservation:
        try:
            reserved = await asyncio.to_thread(self._budget.reserve, tokens)
        except OSError as error:
            log.warning("budget not written", why=error.strerror)
            raise Skipped("budget_unwritable") from None
        if reserved is None:
            raise Skipped("budget")
        return reserved

    async def _settle(self, reserved: Reservation, used: int) -> None:
        try:
            await asyncio.to_thread(self._budget.settle, reserved, used)
            self._metrics.budget_left.set(await asyncio.to_thread(self._budget.left))
        except OSError as error:
            log.warning("budget not written", why=error.strerror)

    def _narrative(
        self, verdict: Verdict, selected_for: tuple[SelectedFor, ...], reply: Reply, answer: Answer
    ) -> Narrative:
        return Narrative(
            outcome_id=verdict.outcome_id,
            image_id=verdict.image_id,
            tenant=verdict.tenant,
            verdict=verdict.verdict,
            summary=answer.summary,
            evidence=tuple(answer.evidence),
            caution=answer.caution,
            selected_for=selected_for,
            model_version=verdict.model.version,
            narrator=Narrator(
                model=self._settings.model,
                instructions=INSTRUCTIONS_ID,
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
            ),
            written_at=self._now(),
        )
