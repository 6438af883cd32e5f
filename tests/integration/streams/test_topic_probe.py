"""Whether records lie between two offsets, on a real broker: transaction markers and deleted records take offsets, too."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from schemas.errors import BrokerUnavailable
from streams.settings import KafkaSettings
from streams.topic_probe import holds_records

pytestmark = [pytest.mark.integration]


@pytest.fixture
async def topic(stack):
    """A fresh topic of one partition: its name and the settings to reach it."""
    name = f"probe-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    return name, KafkaSettings(bootstrap_servers=stack.bootstrap_servers)


async def write(topic, *, commits):
    """Write one record in each transaction: records on even offsets, markers on odd ones; a False is an aborted one."""
    name, settings = topic
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{name}-writer"
    ) as producer:
        for commit in commits:
            await producer.begin_transaction()
            await producer.send_and_wait(name, b"value")
            await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_records_are_found_and_markers_are_none(topic):
    """Offsets 0 and 2 hold records, 1 and 3 the markers of their transactions."""
    name, settings = topic
    await write(topic, commits=[True, True])
    asked = {
        (0, 1): True,
        (0, 4): True,
        (1, 2): False,
        (1, 3): True,
        (2, 3): True,
        (0, None): True,
        (3, None): False,
        (4, None): False,
    }
    answers = {place: await holds_records(settings, name, 0, *place) for place in asked}
    assert answers == asked


async def test_a_run_of_markers_is_seen_to_its_end(topic):
    """Many transactions in a row that left nothing but markers and aborted records: what counts is what lies there."""
    name, settings = topic
    await write(topic, commits=[True])
    assert not await holds_records(settings, name, 0, 1, 2)
    await write(topic, commits=[False] * 3)
    assert await holds_records(settings, name, 0, 2, 8)  # delivered to a reader of uncommitted records, as a worker is


async def test_deleted_records_do_not_lie_there(topic):
    """Retention took them: nobody can deliver them any more."""
    name, settings = topic
    await write(topic, commits=[True] * 5)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=6)})
    finally:
        await admin.close()
    assert not await holds_records(settings, name, 0, 0, 6)
    assert await holds_records(settings, name, 0, 0, 7)
    assert await holds_records(settings, name, 0, 0)


async def test_an_empty_partition_holds_none(topic):
    """From its start, and behind its end."""
    name, settings = topic
    assert not await holds_records(settings, name, 0, 0)
    assert not await holds_records(settings, name, 0, 5)


async def test_silence_is_no_answer(topic):
    """Asked up to a record that must be there, and given none: a slow broker must not look like an empty range."""
    name, settings = topic
    await write(topic, commits=[True])
    with pytest.raises(BrokerUnavailable, match="in time"):
        await holds_records(settings, name, 0, 2, 3)


async def test_a_broker_that_is_away_is_no_answer():
    """Neither yes nor no: whoever asks must not take it for one."""
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:9", request_timeout_s=2, session_timeout_s=2)
    async with asyncio.timeout(20):
        with pytest.raises(BrokerUnavailable):
            await holds_records(settings, "anything", 0, 0, 1)
