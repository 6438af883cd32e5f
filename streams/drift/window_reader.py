"""Reads closed windows of one tenant and kind back from their topic. Belongs to no group and commits nothing."""

from collections import Counter
from datetime import datetime

from schemas import topics
from schemas.errors import CheckFailed, MessageInvalid, UsageError
from schemas.window import OVERALL, WindowSummary
from streams.drift.pooling import Pool
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

HOPS = "/"


async def pooled(
    kafka: KafkaSettings, *, tenant: str, window: str, since: datetime, until: datetime | None = None
) -> Pool:
    """Return the windows of this kind that lie wholly in the range, as one.

    Raises:
        UsageError: windows of this kind overlap, so that an image would count more than once.
        CheckFailed: there is none; it says which kinds there are.
        BrokerUnavailable, TopicMissing, ConfigError
    """
    if HOPS in window:
        raise UsageError(
            f"windows of {window} overlap",
            why="an image would count more than once",
            remedy="Give a kind without steps, such as 1h.",
        )
    pool, others = Pool(), Counter[str]()
    # a window is written after it has ended, so what begins in the range lies behind its beginning on the topic
    async for record in read_topics(kafka, [topics.WINDOWS], since=since):
        if record.key != tenant.encode():
            continue  # before it is parsed: of a thousand tenants one is asked for
        try:
            summary = WindowSummary.from_bytes(record.value or b"")
        except MessageInvalid:
            continue
        if summary.tenant != tenant or summary.start < since or (until is not None and summary.end > until):
            continue
        if summary.window == window:
            pool.take(summary)
        else:
            others[summary.window or "unnamed"] += 1
    if pool.windows == 0:
        raise CheckFailed(
            f"there are no windows of {window} of {whose(tenant)} in this range",
            why=f"there are {', '.join(f'{count} of {name}' for name, count in sorted(others.items()))}"
            if others
            else f"nothing of {whose(tenant)} lies on {topics.WINDOWS}",
            remedy="Give another --window, --since or --tenant, or look whether a drift worker runs.",
        )
    return pool


def whose(tenant: str) -> str:
    """Return a tenant as a sentence names it."""
    return "all tenants together" if tenant == OVERALL else f"tenant {tenant}"
