"""Trying again: a few times for one object's transient error, for as long as a worker may wait while a dependency is down."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from schemas.errors import DependencyDown, DependencyDownTooLong, Transient
from streams.gate import Gate, backoff_s
from streams.passage import Passage
from streams.settings import PipelineSettings

Result = TypeVar("Result")


class Retries:
    """Runs a step of the pipeline again as its failure class demands, with exponential backoff and jitter."""

    def __init__(self, settings: PipelineSettings, on_wait: Callable[[str], None] = lambda _code: None) -> None:
        self._settings = settings
        self._on_wait = on_wait
        self.waiting = 0
        """Steps that wait for something that is down just now."""
        set_on_retry_hooks([])  # stamina's own log line would repeat the exception's text at every wait

    async def run(self, step: Callable[[], Awaitable[Result]], passage: Passage, *, gate: Gate | None = None) -> Result:
        """Return what `step` returns. It starts only while the `gate` of what it depends on is open.

        Raises:
            Transient: it failed so on the last attempt.
            Rejection: at once.
            DependencyDownTooLong: the dependency stayed away for `dependency_give_up_s`; the worker must end.
        """
        failures, down_since = 0, 0.0
        while True:
            if gate is not None and not gate.is_open:
                await gate.opened()
            began_at = time.monotonic()
            try:
                result = await self._bounded(step, passage)
            except DependencyDown as error:
                self._on_wait(error.code)
                down_since = down_since or began_at
                if time.monotonic() - down_since > self._settings.dependency_give_up_s:
                    raise DependencyDownTooLong(error.message, why=error.why, remedy=error.remedy) from error
                self.waiting += 1
                try:
                    if gate is not None and gate.report(error, began_at):
                        await gate.opened()
                    else:
                        await asyncio.sleep(backoff_s(self._settings, failures))
                finally:
                    self.waiting -= 1
                failures += 1
            else:
                if gate is not None:
                    gate.answered()
                return result

    async def _bounded(self, step: Callable[[], Awaitable[Result]], passage: Passage) -> Result:
        passage.attempts = passage.earlier_attempts + 1
        try:
            return await step()  # nearly always: a retry context costs 0.1 ms of CPU even when it has nothing to do
        except Transient as error:
            tries = error.tries_at_once or self._settings.attempts
            if tries == 1:
                raise
            failed = [error]

        async for attempt in stamina.retry_context(
            on=self._is_transient,
            attempts=tries,
            timeout=None,
            wait_initial=self._settings.retry_first_s,
            wait_max=self._settings.retry_last_s,
            wait_jitter=self._settings.retry_first_s,
        ):
            with attempt:
                if failed:  # as the first try did: the waits between tries are stamina's
                    raise failed.pop()
                passage.attempts = passage.earlier_attempts + attempt.num
                return await step()
        raise AssertionError("unreachable: the last attempt raises")

    def _is_transient(self, error: Exception) -> bool:
        if not isinstance(error, Transient):
            return False
        self._on_wait(error.code)
        return True
