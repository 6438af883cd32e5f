"""Asks the broker whether records lie in a range of offsets: offsets alone do not tell, since transaction markers take some."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.errors import BrokerUnavailable, ConfigError
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings
from streams.topics import partition_counts

POLL_MS = 1000
EMPTY_POLLS = 3  # a fetch that finds nothing but markers, or nothing at all, comes back empty


async def refuse_stranded(settings: KafkaSettings) -> None:
    """Refuse to start while references wait on a retry topic that nobody is told to read: there are fewer delays than there were.

    Raises:
        ConfigError: naming the topics.
        BrokerUnavailable: it could not be asked.
    """
    there = await partition_counts(settings)
    names = topics.retry_topics(topics.MAX_RETRY_TOPICS)[len(settings.retry_delays_s) :]
    places = [TopicPartition(name, partition) for name in names for partition in range(there.get(name, 0))]
    if not places:
        return
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-probe",
        group_id=settings.group,  # to ask for its commits; it is not joined without a subscription
        enable_auto_commit=False,
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **client_options(settings),
    )
    try:
        await consumer.start()
        ends, begins = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
        # A commit may have expired, and retention may have taken away what was read long ago.
        starts = {place: max(begins[place], await consumer.committed(place) or 0) for place in places}
    except KafkaError as error:
        raise BrokerUnavailable("the broker could not be asked for retry topics", why=type(error).__name__) from error
    finally:
        await consumer.stop()
    behind = [place for place in places if starts[place] < ends[place]]
    unread = sorted({p.topic for p in behind if await holds_records(settings, p.topic, p.partition, starts[p])})
    if unread:
        raise ConfigError(
            f"references may wait on retry topics that are not read: {', '.join(unread)}",
            why=f"DEEPTRACE_KAFKA__RETRY_DELAYS_S has {len(settings.retry_delays_s)} waits, and there were more",
            remedy="Set as many waits as there were until these topics are read, then delete the topics.",
        )


async def holds_records(
    settings: KafkaSettings, topic: str, partition: int, start: int, end: int | None = None
) -> bool:
    """Return whether a record lies at `start` or after it, and before `end`, where one lies; None: the end of the partition.

    Raises:
        BrokerUnavailable: it could not be asked, or did not even give the record at `end` in time.
    """
    place = TopicPartition(topic, partition)
    read_leniently()
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
        stop = (await consumer.end_offsets([place]))[place] if end is None else end
        consumer.seek(place, start)
        empty = 0
        while await consumer.position(place) < stop and empty < EMPTY_POLLS:
            found = (await consumer.getmany(place, timeout_ms=POLL_MS)).get(place, [])
            if found:
                return bool(found[0].offset < stop)
            empty += 1
        silent = end is not None and await consumer.position(place) < stop
    except KafkaError as error:
        raise BrokerUnavailable("the broker could not be asked for records", why=type(error).__name__) from error
    else:
        if silent:
            raise BrokerUnavailable("the broker gave no records in time", why=f"{EMPTY_POLLS} empty answers")
        return False
    finally:
        await consumer.stop()
