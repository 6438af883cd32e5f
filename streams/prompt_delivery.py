"""Faust without the four tasks in which it wraps the delivery of each record: they are nearly half of what a small record costs.

Its consumer waits for a record to be taken or for the flow to be suspended, whichever is first, and makes a task for each of these, and two more to
notice its own end. A record is taken at once unless its agent's queue is full, so it is tried first without any; what
does not end at once goes on under Faust's own waiting, from where it stands.
"""

from collections.abc import Coroutine, Generator
from inspect import iscoroutine
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer
from mode.services import Service, WaitResults

RECORD_AND_SUSPENSION = 2


class PromptWaits(Service):  # type: ignore[misc]  # mode's services are Any to mypy
    """A service of Faust's that waits for a record to be taken without tasks, if it can (faust-streaming 0.15.3, pinned; a test holds it)."""

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109  # Faust's signature
        """Wait as Faust does, but for a record that is taken at once."""
        if timeout is not None or len(waited) != RECORD_AND_SUSPENSION or not all(map(iscoroutine, waited)):
            return await super().wait_first(*waited, timeout=timeout)
        taking, suspended = waited
        try:
            awaited = taking.send(None)
        except StopIteration as taken:
            suspended.close()
            return WaitResults([taking], [taken.value], stopped=False)
        except BaseException:
            suspended.close()
            raise
        return await super().wait_first(Rest(taking, awaited), suspended)


class PromptConsumer(PromptWaits, Consumer):  # type: ignore[misc]
    """Faust's consumer on aiokafka; only that wait differs."""


class Rest:
    """What is left of a coroutine that was begun by hand and waits for `awaited`."""

    def __init__(self, begun: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._begun = begun
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for it, in whichever task this is."""
        awaited = self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001  # a cancellation is for what was begun
                    awaited = self._begun.throw(error)
                else:
                    awaited = self._begun.send(value)
        except StopIteration as ended:
            return ended.value


def deliver_promptly(app: faust.App) -> None:
    """Let `app` use `PromptConsumer`. Before it starts."""
    app.transport.Consumer = PromptConsumer
