"""Reads a topic from its beginning, or follows it from its end. Belongs to no consumer group and commits nothing."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from schemas.errors import BrokerUnavailable, TopicMissing
from schemas.incoming import Record, kafka_time
from streams.settings import KafkaSettings


async def read_topics(
    settings: KafkaSettings, names: Sequence[str], *, follow: bool = False, from_end: bool = False
) -> AsyncIterator[Record]:
    """Yield the records of `names`: those there now, and with `follow` every later one, without end.

    Order holds within a partition only. `from_end` leaves out what is there already.

    Raises:
        BrokerUnavailable, TopicMissing
    """
    consumer = AIOKafkaConsumer(
        *names,  # without a group all their partitions are assigned
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-reader",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
    )
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        await consumer.stop()
        raise BrokerUnavailable(
            f"no Kafka broker at {settings.bootstrap_servers}",
            why=type(error).__name__,
            remedy="Start the broker (`deeptrace dev up` for a local one) or correct DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS.",
        ) from error
    try:
        missing = set(names) - await consumer.topics()
        if missing:
            raise TopicMissing(f"missing topics: {', '.join(sorted(missing))}", remedy="Run `deeptrace topics apply`.")
        ends = await consumer.end_offsets(consumer.assignment())
        if from_end:
            await consumer.seek_to_end()
        else:
            await consumer.seek_to_beginning()
        while follow or await _behind(consumer, ends):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield _record(record)
    finally:
        await consumer.stop()


async def _behind(consumer: Any, ends: dict[Any, int]) -> bool:
    return any([await consumer.position(partition) < end for partition, end in ends.items()])


def _record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=kafka_time(record.timestamp / 1000),
    )
