"""Labels beside the windows of a drift worker: joined to their verdicts in a group, and all that are joined counted, in every worker.

Whatever fails here is waited for and tried again; the windows go on, and labels wait on their topic.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from schemas import topics
from schemas.errors import ConfigError, DeepTraceError, MessageInvalid
from schemas.label import Labelled
from streams.deadline import ends_within
from streams.gate import backoff_s
from streams.labels.book import LabelBook
from streams.labels.joiner import Joiner
from streams.labels.metrics import LabelMetrics
from streams.labels.switch import why_off
from streams.settings import Settings
from streams.topic_reader import read_topics

FORGET_S: Final = 60.0
FOR_A_PERSON_S: Final = 60.0
"""A missing right is mended by somebody, not by the next try."""
STOP_S: Final = 15.0
BREATH: Final = 100
"""So many records in a row, and the windows get a turn: at start there may be 100,000 of them."""

log = structlog.get_logger(__name__)


class Labels:
    """The companion. `book` holds the labels of the window, for whoever shows them; it is empty while labels are off."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._window = timedelta(days=settings.labels.window_days)
        self.book = LabelBook(since=datetime.now(UTC) - self._window)
        self.off: str | None = why_off(settings)
        """Why labels are not joined just now; None while they are."""
        self._metrics = LabelMetrics(registry, self.book)
        self._tasks: list[asyncio.Task[None]] = []

    def routes(self, app: web.Application) -> None:
        """Serve nothing of its own: gauges are in `/metrics`."""

    async def start(self) -> None:
        """Begin to join and to count, where the settings allow it; else say why not."""
        if self.off is not None:
            log.info("labels are off", why=self.off)
            return
        work = (self._again("join", self._join), self._again("count", self._follow), self._forget())
        self._tasks = [asyncio.create_task(one) for one in work]

    async def stop(self) -> None:
        """Commit what is joined, and end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await ends_within(_ended(self._tasks), STOP_S)

    async def _join(self) -> None:
        await Joiner(self._settings, self._metrics, on_ready=self._ready).run()

    async def _follow(self) -> None:
        """Read what was joined in the window, and what is from now on. To read it again changes nothing."""
        since = datetime.now(UTC) - self._window
        taken = 0
        async for record in read_topics(self._settings.kafka, [topics.LABELLED], follow=True, since=since):
            try:
                self.book.take(Labelled.from_bytes(record.value or b""))
            except MessageInvalid as error:
                log.warning("joined label skipped", partition=record.partition, offset=record.offset, why=error.why)
            taken += 1
            if taken % BREATH == 0:
                await asyncio.sleep(0)

    async def _forget(self) -> None:
        while True:
            self.book.forget_before(datetime.now(UTC) - self._window)
            await asyncio.sleep(FORGET_S)

    async def _again(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, which goes on for ever, and begin anew whenever it fails."""
        failures, told = 0, ""
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            error: Exception = RuntimeError("it came to an end")
            try:
                await work()
            except* Exception as group:  # noqa: BLE001  # whatever it is, the windows go on
                error = _first(group)
            if loop.time() - began_at > FOR_A_PERSON_S:
                failures, told = 0, ""
            if what == "join":
                self.off = str(error)
            if str(error) != told:
                remedy = error.remedy if isinstance(error, DeepTraceError) else ""
                log.warning("labels wait", work=what, error=type(error).__name__, why=str(error), remedy=remedy)
                told = str(error)
            for_a_person = isinstance(error, ConfigError)
            await asyncio.sleep(FOR_A_PERSON_S if for_a_person else backoff_s(self._settings.pipeline, failures))
            failures += 1

    def _ready(self) -> None:
        self.off = None


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """Return one of the errors that ended a group of tasks: the first, the others follow from it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception), "no others were caught"
    return error


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
