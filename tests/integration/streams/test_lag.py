"""Lag on a real broker: what a group has committed against what lies there."""

import asyncio
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.errors import BrokerUnavailable
from streams.lag import group_lag
from streams.partition_log import PartitionLog
from streams.settings import KafkaSettings

pytestmark = [pytest.mark.integration]

WRITTEN_MS = 1_790_000_000_000
"""When record 0 was written; each next one a second later."""


@pytest.fixture
def kafka(stack):
    return KafkaSettings(bootstrap_servers=stack.bootstrap_servers)


@pytest.fixture
async def topic(kafka):
    """A fresh topic of two partitions, with ten records in the first."""
    name = f"lag-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for n in range(10):
            await producer.send_and_wait(name, b"value", partition=0, timestamp_ms=WRITTEN_MS + 1000 * n)
    return name


async def commit(kafka, group, topic, offset):
    """Commit for a group that nobody has joined."""
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
    ) as consumer:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.commit({place: offset})


async def test_the_lag_of_a_group_is_seen_from_outside(kafka, topic):
    """Six of ten are not committed, and the seventh's time is that of the oldest; the other partition is empty."""
    group = f"group-{uuid.uuid4().hex[:8]}"
    await commit(kafka, group, topic, 4)
    [found] = await group_lag(kafka, group, [topic])
    assert (found.topic, found.partitions, found.messages) == (topic, {0: 6, 1: 0}, 6)
    assert found.oldest == WRITTEN_MS / 1000 + 4


async def test_a_group_that_nobody_knows_has_all_before_it(kafka, topic):
    """As a new group would begin: at the beginning."""
    [found] = await group_lag(kafka, f"group-{uuid.uuid4().hex[:8]}", [topic])
    assert (found.messages, found.oldest) == (10, WRITTEN_MS / 1000)


async def test_a_topic_that_is_not_there_has_no_lag(kafka):
    """Asked about, it is neither created nor waited for."""
    assert await group_lag(kafka, "group", [f"absent-{uuid.uuid4().hex[:8]}"]) == []


async def test_one_connection_answers_again_and_again(kafka, topic):
    """Ends move on between two looks; a peek at records leaves nothing behind that the next would trip over."""
    log = PartitionLog(kafka)
    places = [(topic, 0), (topic, 1)]
    assert await log.spans(places) == {(topic, 0): (0, 10), (topic, 1): (0, 0)}
    assert await log.written_at({(topic, 0): 9}) == {(topic, 0): WRITTEN_MS / 1000 + 9}
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"value", partition=1, timestamp_ms=WRITTEN_MS)
    assert await log.spans(places) == {(topic, 0): (0, 10), (topic, 1): (0, 1)}
    assert await log.written_at({(topic, 0): 2, (topic, 1): 0}) == {
        (topic, 0): WRITTEN_MS / 1000 + 2,
        (topic, 1): WRITTEN_MS / 1000,
    }
    assert await log.written_at({(topic, 0): 10}) == {}
    await log.close()


async def test_a_broker_that_is_away_is_said_to_be(kafka):
    """In bounded time, and as an error that a caller can wait for."""
    away = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "request_timeout_s": 5.0})
    started = time.monotonic()
    log = PartitionLog(away)
    with pytest.raises(BrokerUnavailable):
        await log.spans([("images", 0)])
    await asyncio.wait_for(log.close(), 10)
    assert time.monotonic() - started < 30
