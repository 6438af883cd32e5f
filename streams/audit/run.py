"""An audit from beginning to end: fix the offsets, read the references, then the outcomes, then the store, and conclude."""

import asyncio
from collections.abc import Callable, Mapping

from schemas import topics
from schemas.incoming import Intake, Record
from schemas.settled import object_key
from streams.audit.archive import Archive
from streams.audit.book import ALTERED, ASKED, DIFFERS, DUE, PUBLISHED, STORED, STRANDED, WAITING, Book, unpack
from streams.audit.broker import Broker, Partition, Span
from streams.audit.offsets import OUTCOME_TOPICS, Range, fix
from streams.audit.outcomes import Outcomes
from streams.audit.progress import Progress, silent
from streams.audit.references import References
from streams.audit.report import Report
from streams.audit.settled import Settled
from streams.settings import Settings, StoreSettings


async def audit(
    settings: Settings,
    wanted: Range | None = None,
    *,
    complete: bool = False,
    deep: bool = False,
    show: int = 5,
    progress: Progress = silent,
) -> Report:
    """Return what topics and store say of the references in `wanted` (default: all).

    `complete` makes a reference that is still being worked on a fault; `deep` reads every stored outcome instead of believing the
    store's MD5 of it; `show` is how many faults of a kind are named.

    Raises:
        BrokerUnavailable, StoreUnavailable, TopicMissing, BucketMissing, ConfigError, UsageError: nothing can be said.
    """
    report = Report(settings.pipeline.outcomes, complete=complete, show=show)
    book = Book()
    async with Broker(settings.kafka) as broker:
        broker.require((topics.IMAGES, *OUTCOME_TOPICS))
        offsets = await fix(broker, wanted or Range(), settings.kafka.group)
        spans = {partition: span for (_, partition), span in offsets.images.items()}
        report.range, report.whole, report.notes = spans, offsets.whole, offsets.notes
        committed = {
            partition: offset for (topic, partition), offset in offsets.committed.items() if topic == topics.IMAGES
        }
        read = topics.retry_topics(len(settings.kafka.retry_delays_s))
        references = References(book, report, intake_of(settings.store), committed, read)
        for (topic, partition), offset in offsets.expired.items():
            report.fault("expired_unread", "", f"{topic}/{partition}/{offset}")
        outcomes = Outcomes(book, report, spans, whole=offsets.whole)
        await _read(broker, offsets.images, references.take, "references", progress)
        await _read(broker, offsets.waiting, references.take_waiting, "waiting references", progress)
        await _read(broker, offsets.outcomes, outcomes.take, "outcomes", progress)
        if report.mode == "settled":
            unknown = await _compare_stored(settings.store, book, report, progress, deep=deep)
            if unknown:
                await _forget_later_ones(broker, offsets.images, references, unknown)
            for raw in sorted(unknown):
                report.fault("stored_for_nobody", raw.hex(), object_key(raw.hex()))
    conclude(book, report)
    return report


def intake_of(store: StoreSettings) -> Intake:
    """Return what a worker with these settings takes in."""
    return Intake(
        buckets=frozenset(store.image_buckets),
        overlay_bucket=store.overlay_bucket,
        overlay_prefix=store.overlay_prefix,
        outcome_bucket=store.outcome_bucket,
    )


def conclude(book: Book, report: Report) -> None:
    """Say of each reference what is still to be said once everything was read."""
    settled = report.mode == "settled"
    for raw, row in book:
        flags = book.flags(row)
        report.stored += bool(flags & STORED)
        if not flags & ASKED:
            continue
        outcome_id, (partition, offset) = raw.hex(), unpack(book.asked_at(row))
        at = f"{topics.IMAGES}/{partition}/{offset}"
        if flags & PUBLISHED:
            if settled and not flags & STORED:
                report.fault("not_stored", outcome_id, at)
            elif settled and (flags & (DIFFERS | ALTERED) or flags & PUBLISHED == PUBLISHED):
                report.fault("differs_from_stored", outcome_id, object_key(outcome_id))
        elif flags & DUE and not flags & WAITING:
            report.fault("missing", outcome_id, at)
            if flags & STORED:
                report.fault("stored_not_published", outcome_id, object_key(outcome_id))
        else:
            report.fault("stranded" if flags & STRANDED else "pending", outcome_id, at)


async def _read(
    broker: Broker, spans: Mapping[Partition, Span], take: Callable[[Record], None], what: str, progress: Progress
) -> None:
    total, done = sum(end - start for start, end in spans.values()), 0
    progress(what, done, total)
    async for records in broker.read(spans):
        for record in records:
            take(record)
        done += len(records)
        progress(what, done, total)


async def _compare_stored(
    store: StoreSettings, book: Book, report: Report, progress: Progress, *, deep: bool
) -> set[bytes]:
    archive = Archive(store)
    settled = Settled(book, report, archive, progress, deep=deep)
    try:
        if report.whole:
            return await asyncio.to_thread(settled.compare_all)
        await asyncio.to_thread(settled.compare_asked)
    finally:
        archive.close()
    return set()


async def _forget_later_ones(
    broker: Broker, read: Mapping[Partition, Span], references: References, unknown: set[bytes]
) -> None:
    """Take out of `unknown` what was accepted after the ends were fixed: workers may have settled it by the time of the listing."""
    now = await broker.ends(list(read))
    async for records in broker.read({partition: (end, now[partition]) for partition, (_, end) in read.items()}):
        for record in records:
            unknown.difference_update(references.ids(record))
