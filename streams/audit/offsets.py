"""Which offsets an audit reads. The order in which they are fixed is what makes it right while workers are running.

First what the group has committed, then the ends of the outcome topics, then those of the images topic: whatever lies before a commit
has its outcome (or its place on a retry topic) before an end that is asked for later, and whatever has an outcome there was accepted before
the end of the images topic.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas import topics
from schemas.errors import UsageError
from streams.audit.broker import Broker, Partition, Span

OUTCOME_TOPICS = (topics.VERDICTS, topics.DEAD_LETTERS)
RETRY_TOPICS = topics.retry_topics(topics.MAX_RETRY_TOPICS)
SKEW = timedelta(days=1)
"""Outcomes bear the clock of a worker: with `since` they are looked for from this much earlier."""


@dataclass(frozen=True, slots=True)
class Range:
    """Which offsets of the images topic are audited, by partition; what is not named is read from its beginning and to its end."""

    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    since: datetime | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.starts or self.ends or self.since)


@dataclass(frozen=True, slots=True)
class Offsets:
    """What was fixed before anything was read."""

    committed: dict[Partition, int]
    images: dict[Partition, Span]
    outcomes: dict[Partition, Span]
    waiting: dict[Partition, Span]
    whole: bool
    notes: list[str]
    expired: dict[Partition, int]
    """Where the group had got to in partitions of which retention then took away more: nobody read what lay there."""


async def fix(broker: Broker, wanted: Range, group: str) -> Offsets:
    """Ask for all offsets, in the order that matters.

    Raises:
        UsageError: the range names a partition that does not exist.
    """
    images = broker.partitions(topics.IMAGES)
    retries = [partition for topic in RETRY_TOPICS for partition in broker.partitions(topic)]
    outcomes = [partition for topic in OUTCOME_TOPICS for partition in broker.partitions(topic)]
    unknown = sorted((wanted.starts.keys() | wanted.ends.keys()) - {partition for _, partition in images})
    if unknown:
        raise UsageError(
            f"{topics.IMAGES} has no partition {unknown[0]}", remedy=f"It has the partitions 0 to {len(images) - 1}."
        )
    committed = await broker.committed(images + retries)
    ends = await broker.ends(outcomes + retries)
    image_ends = await broker.ends(images)
    begins = await broker.beginnings(images + outcomes + retries)
    starts: dict[Partition, int | None] = {(topic, p): wanted.starts.get(p, 0) for topic, p in images}
    starts.update(dict.fromkeys(outcomes, 0))
    if wanted.since is not None:
        starts = await broker.offsets_at(images, wanted.since) | await broker.offsets_at(outcomes, wanted.since - SKEW)
    limits = ends | {(t, p): min(end, wanted.ends.get(p, end)) for (t, p), end in image_ends.items()}

    def span(partition: Partition) -> Span:
        start, end = starts[partition], limits[partition]
        return (max(begins[partition], start), end) if start is not None else (end, end)

    return Offsets(
        committed=committed,
        images={partition: span(partition) for partition in images},
        outcomes={partition: span(partition) for partition in outcomes},
        waiting={partition: (committed[partition], ends[partition]) for partition in retries},
        whole=wanted.is_all and not any(begins[partition] for partition in images),
        notes=list(_notes(committed, begins, images, outcomes, group)),
        expired={
            partition: committed[partition]
            for partition in images + retries
            if begins[partition] > committed[partition] and (committed[partition] or partition[0] != topics.IMAGES)
        },
    )


def _notes(
    committed: Mapping[Partition, int],
    begins: Mapping[Partition, int],
    images: list[Partition],
    outcomes: list[Partition],
    group: str,
) -> Iterator[str]:
    if not any(committed[partition] for partition in images):
        yield f"the group {group} has committed nothing: whatever has no outcome counts as pending"
    for topic in sorted({partition[0] for partition in outcomes if begins[partition]}):
        yield f"{topic} has lost its beginning to retention: outcomes that lay there count as missing"
