"""Follows a topic for a companion, in a consumer group of its own. At least once: what was not finished is delivered again, perhaps to another worker.

Whatever the broker does, it only waits: a companion's faults are no business of the windows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from schemas.errors import DeepTraceError
from streams.intake import Intake
from streams.settings import KafkaSettings

FIRST_WAIT_S: Final = 1.0
LAST_WAIT_S: Final = 60.0

log = structlog.get_logger(__name__)

Work = Callable[[Intake], Awaitable[None]]
"""Takes records from an intake that has joined its group, without end; what it raises ends in a new intake."""


class Following:
    """Joins the group, has `work` done, and begins anew after a while when that fails."""

    def __init__(self, kafka: KafkaSettings, *, topic: str, group: str, work: Work) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = group
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a task of its own; connects when it can."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is being worked on is delivered to somebody again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            intake = Intake(self._kafka, self._topic, self._group)
            try:
                await intake.start()
                wait_s = FIRST_WAIT_S
                await self._work(intake)
            except Exception as error:  # noqa: BLE001  # the windows go on whatever this is
                self._say(error, wait_s)
            finally:
                await intake.leave()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LAST_WAIT_S)

    def _say(self, error: Exception, wait_s: float) -> None:
        said = {"topic": self._topic, "group": self._group, "again_in_s": wait_s}
        if isinstance(error, DeepTraceError):
            log.warning("not followed", code=error.code, why=str(error), remedy=error.remedy, **said)
        else:
            log.warning("not followed", error=type(error).__name__, exc_info=error, **said)


def one_by_one(handle: Callable[[bytes | None], Awaitable[None]]) -> Work:
    """Return the work that hands each record's value to `handle`, in order within a partition. A record that it raises over is logged and left behind."""

    async def work(intake: Intake) -> None:
        while True:
            for entry, record in await intake.batch():
                if entry.lane.dropped:
                    continue  # its partition went to another worker meanwhile
                try:
                    await handle(record.value)
                except Exception:
                    log.exception("left behind", topic=record.topic, partition=record.partition, offset=record.offset)
                intake.finish(entry)
                await intake.commit()

    return work
