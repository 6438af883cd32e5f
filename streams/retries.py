"""Trying again: a few times for one object's transient error, for as long as a worker may wait while a dependency is down."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from schemas.errors import DependencyDown, DependencyDownTooLong, Transient
from streams.passage import Passage
from streams.settings import PipelineSettings

Result = TypeVar("Result")


class Retries:
    """Runs a step of the pipeline again as its failure class demands, with exponential backoff and jitter."""

    def __init__(self, settings: PipelineSettings, on_wait: Callable[[str], None] = lambda _code: None) -> None:
        self._settings = settings
        self._on_wait = on_wait
        set_on_retry_hooks([])  # stamina's own log line would repeat the exception's text at every wait

    async def run(self, step: Callable[[], Awaitable[Result]], passage: Passage) -> Result:
        """Return what `step` returns.

        Raises:
            Transient: it failed so on the last attempt.
            Rejection: at once.
            DependencyDownTooLong: the dependency stayed away for `dependency_give_up_s`; the worker must end.
        """
        try:
            return await step()  # nearly always: a retry context costs 0.1 ms of CPU even when it has nothing to do
        except (Transient, DependencyDown) as error:
            failures = [error]

        async def resumed() -> Result:
            """Fail as the first try did, then go on with the step: the waits between tries are stamina's."""
            if failures:
                raise failures.pop()
            return await step()

        try:
            async for attempt in stamina.retry_context(
                on=self._noting(DependencyDown),
                attempts=None,
                timeout=self._settings.dependency_give_up_s,
                wait_initial=self._settings.retry_first_s,
                wait_max=self._settings.dependency_wait_s,
                wait_jitter=self._settings.retry_first_s,
            ):
                with attempt:
                    return await self._bounded(resumed, passage)
        except DependencyDown as error:
            raise DependencyDownTooLong(error.message, why=error.why, remedy=error.remedy) from error
        raise AssertionError("unreachable: a retry context ends by returning or raising")

    async def _bounded(self, step: Callable[[], Awaitable[Result]], passage: Passage) -> Result:
        async for attempt in stamina.retry_context(
            on=self._noting(Transient),
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=self._settings.retry_first_s,
            wait_max=self._settings.retry_last_s,
            wait_jitter=self._settings.retry_first_s,
        ):
            with attempt:
                passage.attempts = attempt.num
                return await step()
        raise AssertionError("unreachable: the last attempt raises")

    def _noting(self, kind: type[DependencyDown] | type[Transient]) -> Callable[[Exception], bool]:
        def retried(error: Exception) -> bool:
            if not isinstance(error, kind):
                return False
            self._on_wait(error.code)
            return True

        return retried
