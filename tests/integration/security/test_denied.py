"""What a worker's users may not do, and the broker and the store do not let them: asked past our own checks where those would stop it first."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from support.secure_world import OUTCOMES, OVERLAYS, READER, WRITER
from support.world import BUCKET, picture

from schemas.errors import BucketForbidden, NotPermitted, ObjectDenied
from streams import topics
from streams.assembly import make_store
from streams.broker_access import require_access, scoring_needs
from streams.kafka_security import client_options
from streams.producer import Producer
from streams.topic_reader import read_topics

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PUT = {"content_type": "image/png", "deadline_s": 5}
GET = {"max_bytes": 1 << 20, "deadline_s": 5}


@pytest.fixture(params=["password", "certificate"])
def kafka(request, secured):
    """The worker's Kafka settings, by either way in."""
    return secured.settings_with(**(secured.mutual_tls if request.param == "certificate" else {})).kafka


def client(kafka):
    """What a bare aiokafka client needs, to ask without our code between."""
    return {"bootstrap_servers": kafka.bootstrap_servers, "request_timeout_ms": 5000, **client_options(kafka)}


async def test_a_worker_creates_no_topic(kafka):
    """Not by request."""
    admin = AIOKafkaAdminClient(**client(kafka))
    await admin.start()
    try:
        [(name, code, _)] = (await admin.create_topics([NewTopic("loot", 1, 1)])).topic_errors
    finally:
        await admin.close()
    assert (name, code) == ("loot", TopicAuthorizationFailedError.errno)


async def test_topics_apply_as_a_worker_says_whose_business_it_is(secured):
    """The topics it may not see look missing; creating them is refused, and nothing is created."""
    with pytest.raises(NotPermitted) as caught:
        await topics.apply(secured.settings.kafka)
    assert "deeptrace.windows.v1" in caught.value.message
    assert "right to create topics" in caught.value.remedy


async def test_a_worker_writes_no_reference(kafka):
    """Who could write to the images topic could accept references in the platform's name."""
    async with AIOKafkaProducer(**client(kafka)) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait("deeptrace.images.v1", b"{}")


async def test_our_own_producer_says_what_is_not_permitted(secured):
    """With the topic, the user and a remedy."""
    async with Producer(secured.settings.kafka, client_id="test") as producer:
        with pytest.raises(NotPermitted) as caught:
            await producer.send("deeptrace.images.v1", key=None, value=b"{}")
    assert caught.value.message == "the broker does not let User:deeptrace-worker write to deeptrace.images.v1"
    assert caught.value.exit_code == 78


async def test_a_worker_reads_no_verdicts(secured):
    """It may write them, and so see the topic, but not read what others wrote."""
    with pytest.raises(NotPermitted, match=r"read deeptrace\.verdicts\.v1"):
        async for _ in read_topics(secured.settings.kafka, ["deeptrace.verdicts.v1"], follow=True):
            pass


async def test_a_topic_that_is_none_of_its_business_is_not_even_seen(secured):
    """Its existence is no answer."""
    seen = {state.spec.name for state in await topics.plan(secured.settings.kafka) if state.partitions}
    assert seen == {
        *("deeptrace.images.v1", "deeptrace.images.v1.retry.1", "deeptrace.images.v1.retry.2"),
        *("deeptrace.images.v1.dlq", "deeptrace.verdicts.v1"),
    }


async def test_a_worker_joins_no_other_group(kafka):
    """In another's group it could commit past records that the other has not read."""
    consumer = AIOKafkaConsumer("deeptrace.images.v1", group_id="somebody-elses", **client(kafka))
    try:
        with pytest.raises(GroupAuthorizationFailedError):
            await asyncio.wait_for(consumer.start(), timeout=20)
    finally:
        await consumer.stop()


async def test_a_wrong_group_name_is_said_at_the_start(secured):
    """It is a slip of the settings that a worker would otherwise end of later."""
    kafka = secured.settings_with(DEEPTRACE_KAFKA__GROUP="somebody-elses").kafka
    with pytest.raises(NotPermitted) as caught:
        await require_access(kafka, scoring_needs(kafka))
    assert caught.value.why == "it lacks Read on group somebody-elses"


def test_the_first_store_user_only_reads_images(secured):
    """It cannot change what is judged, nor what came of it."""
    secured.put("denied.png", picture(1))
    store = secured.connect(READER, secured.reader_secret)
    assert store.get(BUCKET, "denied.png", **GET).data == picture(1)
    for attempt in (
        lambda: store.put(BUCKET, "denied.png", b"x", **PUT),
        lambda: store.delete(BUCKET, "denied.png"),
        lambda: store.put(OVERLAYS, "overlays/denied", b"x", **PUT),
        lambda: store.put_if_absent(OUTCOMES, "outcomes/denied.json", b"x", **PUT),
        lambda: list(store.list(OUTCOMES)),
    ):
        with pytest.raises(ObjectDenied):
            attempt()
    assert secured.store.get(BUCKET, "denied.png", **GET).data == picture(1)


def test_the_second_store_user_only_writes_results(secured):
    """It sees no image, and can neither undo an outcome nor write elsewhere in its buckets."""
    secured.put("denied.png", picture(1))
    store = secured.connect(WRITER, secured.writer_secret)
    store.put_if_absent(OUTCOMES, "outcomes/settled.json", b"first", **PUT)
    store.put(OVERLAYS, "overlays/there", b"x", **PUT)
    assert store.get(OUTCOMES, "outcomes/settled.json", **GET).data == b"first"
    for attempt in (
        lambda: store.get(BUCKET, "denied.png", **GET),
        lambda: list(store.list(BUCKET)),
        lambda: store.put(BUCKET, "denied.png", b"x", **PUT),
        lambda: store.delete(OUTCOMES, "outcomes/settled.json"),
        lambda: store.put(OUTCOMES, "elsewhere", b"x", **PUT),
        lambda: store.put(OVERLAYS, "elsewhere", b"x", **PUT),
        lambda: store.get(OVERLAYS, "overlays/there", **GET),
    ):
        with pytest.raises(ObjectDenied):
            attempt()
    secured.store.delete(OUTCOMES, "outcomes/settled.json")


def test_a_worker_asks_with_the_user_its_bucket_belongs_to(secured):
    """One store for the pipeline; a bucket that belongs to nobody is refused before anything is sent."""
    secured.put("owned.png", picture(2))
    store = make_store(secured.settings)
    assert store.get(BUCKET, "owned.png", **GET).data == picture(2)
    store.put(OVERLAYS, "overlays/owned", b"x", **PUT)
    with pytest.raises(ObjectDenied):
        store.put(BUCKET, "owned.png", b"x", **PUT)
    with pytest.raises(BucketForbidden):
        store.get("deeptrace-secrets", "x", **GET)
    store.close()
