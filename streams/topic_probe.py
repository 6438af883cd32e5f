"""Asks the broker whether records lie in a range of offsets: offsets alone do not tell, since transaction markers take some."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable
from streams.kafka_security import client_options
from streams.settings import KafkaSettings

POLL_MS = 1000
EMPTY_POLLS = 3  # a fetch that finds nothing but markers, or nothing at all, comes back empty


async def holds_records(
    settings: KafkaSettings, topic: str, partition: int, start: int, end: int | None = None
) -> bool:
    """Return whether a record lies at `start` or after it, and before `end` (None: the end of the partition).

    Raises:
        BrokerUnavailable: it could not be asked.
    """
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-probe",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **client_options(settings),
    )
    try:
        await consumer.start()
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place] if end is None else end
        consumer.seek(place, start)
        empty = 0
        while await consumer.position(place) < end and empty < EMPTY_POLLS:
            found = (await consumer.getmany(place, timeout_ms=POLL_MS)).get(place, [])
            if found:
                return bool(found[0].offset < end)
            empty += 1
    except KafkaError as error:
        raise BrokerUnavailable("the broker could not be asked for records", why=type(error).__name__) from error
    else:
        return False
    finally:
        await consumer.stop()
