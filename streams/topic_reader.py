"""Reads a topic from its beginning, or follows it from its end. Belongs to no consumer group and commits nothing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from schemas.errors import TopicMissing
from schemas.incoming import Record, kafka_time
from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings


async def read_topics(
    settings: KafkaSettings,
    names: Sequence[str],
    *,
    follow: bool = False,
    from_end: bool = False,
    since: datetime | None = None,
    starts: Mapping[int, int] | None = None,
) -> AsyncIterator[Record]:
    """Yield the records of `names`: those there now, and with `follow` every later one, without end.

    Order holds within a partition only. `from_end` leaves out what is there already, `since` what lies before the first record that
    is not older; `starts` reads only these partitions, from these offsets on.

    Raises:
        BrokerUnavailable, TopicMissing
        ConfigError: the broker is not trusted, or does not accept or permit us (`streams.broker_errors`).
    """
    read_leniently()
    consumer = AIOKafkaConsumer(
        *names,  # without a group all their partitions are assigned
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-reader",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **client_options(settings),
    )
    try:
        await consumer.start()
    except REFUSALS as error:
        await consumer.stop()
        raise not_permitted(error, f"read {', '.join(names)}", settings) from error
    except KafkaConnectionError as error:
        await consumer.stop()
        raise await unreachable(settings) from error
    try:
        missing = set(names) - await consumer.topics()
        if missing:
            raise TopicMissing(f"missing topics: {', '.join(sorted(missing))}", remedy="Run `deeptrace topics apply`.")
        ends = await consumer.end_offsets(consumer.assignment())
        await _begin(consumer, ends, from_end=from_end, since=since, starts=starts)
        while follow or await _behind(consumer, ends):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record_of(record)
    except REFUSALS as error:  # a topic may be seen by one who may write to it, and still not be read
        raise not_permitted(error, f"read {', '.join(names)}", settings) from error
    finally:
        await consumer.stop()


async def _begin(
    consumer: Any,
    ends: Mapping[Any, int],
    *,
    from_end: bool,
    since: datetime | None,
    starts: Mapping[int, int] | None,
) -> None:
    """Go to where reading begins; where nothing is to be read that is the end."""
    if from_end:
        await consumer.seek_to_end()
    elif starts is not None:
        _seek(consumer, {partition: starts.get(partition.partition, end) for partition, end in ends.items()})
    elif since is not None:
        _seek(consumer, {**ends, **await _offsets_at(consumer, ends, since)})
    else:
        await consumer.seek_to_beginning()


def _seek(consumer: Any, offsets: Mapping[Any, int]) -> None:
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)


async def _offsets_at(consumer: Any, partitions: Mapping[Any, int], moment: datetime) -> dict[Any, int]:
    """Return where to begin; a partition without a record so young is left out."""
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, int(moment.timestamp() * 1000)))
    return {partition: at.offset for partition, at in found.items() if at is not None}


async def _behind(consumer: Any, ends: dict[Any, int]) -> bool:
    return any([await consumer.position(partition) < end for partition, end in ends.items()])


def record_of(record: Any) -> Record:
    """Return a record of aiokafka's as one of ours."""
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=kafka_time(record.timestamp / 1000),
    )
