import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import MinioException

from schemas.errors import StackUnavailable
from streams.stack.broker import start_broker
from streams.stack.launch import Launch
from streams.stack.object_store import ObjectStoreServer, start_minio, start_s3proxy
from streams.stack.readiness import broker_is_ready, store_is_ready
from streams.stack.server import Server

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    server = start_broker(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStoreServer]:
    server = start_s3proxy(tmp_path)
    yield server
    server.stop()


async def produce(server: Server, topic: str, value: bytes) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=server.address)
    await producer.start()
    await producer.send_and_wait(topic, value)
    await producer.stop()


async def consume_first(server: Server, topic: str) -> bytes:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=server.address, auto_offset_reset="earliest")
    await consumer.start()
    message = await consumer.getone()
    await consumer.stop()
    return message.value


async def create_topic(server: Server, topic: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()


async def test_a_killed_broker_keeps_what_it_acknowledged(broker: Server) -> None:
    """After SIGKILL and a restart on the same port the message is there."""
    await create_topic(broker, "kept")
    await produce(broker, "kept", b"acknowledged")
    address = broker.address
    broker.kill()
    assert not broker.is_alive
    assert not broker_is_ready(broker.port)
    broker.restart()
    assert broker.address == address
    assert await consume_first(broker, "kept") == b"acknowledged"


async def test_a_topic_can_be_created_the_moment_a_broker_is_ready(broker: Server) -> None:
    """Ready means let in by the controller: a broker that only listens refuses new topics."""
    await create_topic(broker, "at-once")
    await produce(broker, "at-once", b"x")


def test_a_paused_broker_is_not_ready_until_it_is_resumed(broker: Server) -> None:
    """SIGSTOP makes a server that accepts and never answers, the worst kind of fault."""
    broker.pause()
    assert broker.is_alive
    assert not broker_is_ready(broker.port)
    broker.resume()
    broker.wait_ready()


def test_a_killed_store_keeps_its_objects_and_keys(store: ObjectStoreServer) -> None:
    """After SIGKILL and a restart the same client reads the same object."""
    client = Minio(
        store.address, access_key=store.access_key, secret_key=store.secret_key, secure=False, region="us-east-1"
    )
    client.make_bucket("kept")
    client.put_object("kept", "key", io.BytesIO(b"bytes"), 5)
    store.kill()
    store.restart()
    assert client.stat_object("kept", "key").size == 5


def test_a_store_refuses_an_unknown_key(store: ObjectStoreServer) -> None:
    """The store's account is needed even on loopback; readiness is asked for with it."""
    assert store_is_ready(store.port, store.access_key, store.secret_key)
    assert not store_is_ready(store.port, store.access_key, "another secret")
    client = Minio(
        store.address,
        access_key="somebody",
        secret_key="else",
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False),
    )
    with pytest.raises(MinioException):
        client.list_buckets()


def test_a_port_that_is_taken_is_told_with_the_servers_words(store: ObjectStoreServer, tmp_path: Path) -> None:
    """A server that ends during its start raises at once, with the end of its log."""
    with pytest.raises(StackUnavailable, match="the process ended"):
        start_broker(tmp_path / "second", port=store.port)


def test_minio_is_not_built_behind_the_users_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a binary a person is told so; only `build_minio` builds one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackUnavailable, match="no MinIO binary"):
        start_minio(tmp_path, launch=Launch(cache_dir=tmp_path))


def test_minio_serves(minio: tuple[str, str, str, str]) -> None:
    """The session's MinIO answers a signed request."""
    endpoint, access_key, secret_key, name = minio
    assert name == "minio"
    assert store_is_ready(int(endpoint.rpartition(":")[2]), access_key, secret_key)
