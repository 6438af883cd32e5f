"""One run of `deeptrace replay`, from the connections that it needs to its report."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.classifier import Classifier
from model.decode_pool import DecodePool
from schemas import topics
from schemas.errors import MessageInvalid, NotPermitted, TopicMissing
from schemas.label import Labelled
from streams.assembly import make_store
from streams.broker_access import replay_needs, require_access
from streams.cli.console import err, printable
from streams.cli.replay_result import keep_report, say_estimate, show_report
from streams.crash_guard import CrashGuard
from streams.crash_journal import CrashJournal
from streams.drift.judging import make_judge
from streams.drift.specs import WindowSpec
from streams.labels.book import LabelBook
from streams.producer import Producer
from streams.rescoring.claim import Claim
from streams.rescoring.counts import finished
from streams.rescoring.estimate import Estimate, estimate
from streams.rescoring.flips import Flips, Truth
from streams.rescoring.history import History
from streams.rescoring.past import left_of
from streams.rescoring.rejudging import Rejudging
from streams.rescoring.report import report
from streams.rescoring.run import Run
from streams.rescoring.screen import Screen
from streams.rescoring.selection import Selection
from streams.rescoring.terms import Judge, Terms
from streams.rescoring.throttle import Throttle
from streams.rescoring.windows import ReplayWindows
from streams.settings import KafkaSettings, Settings
from streams.topic_reader import read_topics


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    name: str
    selection: Selection
    from_text: str | None
    to_text: str | None
    overlays: bool
    rate: float | None
    limit: int | None
    windows: WindowSpec | None


async def look(settings: Settings, order: Order) -> Estimate:
    """Count what is left to do, without a model and without a commit."""
    await require_access(settings.kafka, replay_needs(settings.kafka, order.name))
    async with AsyncExitStack() as stack:
        past = await _history(settings, order, stack)
        found = await past.marks()
        selection = next((mark.terms.selection for _, mark in found.values()), order.selection)
        return await estimate(settings.kafka, left_of(found) if found else await past.spans(selection), selection)


async def replay_once(
    settings: Settings, order: Order, classifier: Classifier, decoders: DecodePool, *, as_json: bool
) -> int:
    """Return the signal that ended the run, or 0."""
    stop, told = asyncio.Event(), [0]

    def end(signum: int) -> None:
        told[0] = signum
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, end, signum)
    kafka = settings.kafka
    await require_access(kafka, replay_needs(kafka, order.name))
    async with AsyncExitStack() as stack:
        past = await _history(settings, order, stack)
        producer = await stack.enter_async_context(Producer(kafka, client_id=past.group))
        asked = _terms(order, settings, classifier)
        journal = _journal(settings, past.group)
        if journal is not None:
            stack.callback(journal.close, orderly=True)  # where it was not closed before
        claim = Claim(past, order.name, give_up_s=settings.pipeline.dependency_give_up_s)
        rejudging = Rejudging(
            settings,
            store=make_store(settings),
            decoder=decoders,
            classifier=classifier,
            sender=producer,
            name=order.name,
            judge=asked.judge,
            held=claim.held,
            guard=CrashGuard(journal),
            flips=Flips(await _truth(kafka), _windows(settings, order)),
        )
        stack.push_async_callback(rejudging.close)
        await rejudging.require_buckets()
        run = Run(
            settings,
            name=order.name,
            asked=asked,
            past=past,
            claim=claim,
            rejudging=rejudging,
            throttle=Throttle(order.rate),
            limit=order.limit,
        )
        stack.push_async_callback(run.close)
        found = await _unless(stop, _prepare(run, kafka))
        if found is None:
            return told[0]
        say_estimate(order.name, order.rate, found, as_json=False)
        before = finished(run.counts.total())

        def how_far() -> tuple[int, int, int, str | None]:
            why = rejudging.why_waiting or (None if claim.is_held else "the broker does not answer")
            return before, finished(run.counts.total()) - before, before + found.matching, why

        began_at, ending = time.monotonic(), None
        try:
            async with Screen(err, how_far):
                ending = await run.go_on(stop)
        finally:
            if journal is not None:
                await asyncio.to_thread(journal.close, orderly=ending is not None)
            if ending is None:
                err.print(f"what was finished is kept: the same command goes on with {order.name}", highlight=False)
        said = report(order.name, run.terms, run.counts, rejudging.flips, seconds=time.monotonic() - began_at)
        await asyncio.to_thread(keep_report, settings, order.name, said)
        show_report(said, rejudging.flips, ending, as_json=as_json)
        return told[0] if ending == "stopped" else 0


async def _prepare(run: Run, kafka: KafkaSettings) -> Estimate:
    """Agree on the terms, look what is published already, and count what is left."""
    with err.status("looking at what there is to do"):
        left = await run.begin()
        # All of the topic: the broker may have forgotten the group since.
        await run.recall(read_topics(kafka, [topics.REPLAYED_VERDICTS]))
        return await estimate(kafka, left, run.terms.selection)


async def _truth(kafka: KafkaSettings) -> Truth:
    """Return what reviewers have said of old verdicts; where this user may not read that, nothing."""
    labels = LabelBook(since=datetime.min.replace(tzinfo=UTC))
    try:
        async for record in read_topics(kafka, [topics.LABELLED]):
            with suppress(MessageInvalid):
                labels.take(Labelled.from_bytes(record.value or b""))
    except (TopicMissing, NotPermitted) as error:
        err.print(f"labels are left out: {printable(str(error))}", highlight=False, markup=False, soft_wrap=True)

    def is_ai(outcome_id: str) -> bool | None:
        judged = labels.judged(outcome_id)
        return None if judged is None else judged.is_ai

    return is_ai


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Estimate]) -> Estimate | None:
    """Return what `work` returns, or None once we are told to stop."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.wait({working})
    return None


async def _history(settings: Settings, order: Order, stack: AsyncExitStack) -> History:
    past = History(settings.kafka, settings.kafka.replay_group_of(order.name))
    stack.push_async_callback(past.stop)
    await past.start()
    return past


def _terms(order: Order, settings: Settings, classifier: Classifier) -> Terms:
    info = classifier.info
    return Terms(
        selection=order.selection,
        judge=Judge(
            version=info.version,
            sha256=info.sha256,
            min_confidence=settings.pipeline.min_confidence,
            stability=settings.pipeline.stability,
            overlays=order.overlays,
        ),
        started=datetime.now(UTC),
        from_text=order.from_text,
        to_text=order.to_text,
    )


def _windows(settings: Settings, order: Order) -> ReplayWindows | None:
    if order.windows is None:
        return None
    return ReplayWindows(order.windows, make_judge(settings, None), sample_images=settings.drift.sample_images)


def _journal(settings: Settings, group: str) -> CrashJournal | None:
    folder = settings.pipeline.journal_dir
    return CrashJournal(Path(folder), group) if folder else None
