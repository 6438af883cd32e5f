"""A broker with a listener for clients that come through a proxy, and a cluster that survives one of its nodes."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faults.harness.tcp_proxy import TcpProxy
from support.cluster import Cluster

from streams.stack.broker import Front, new_cluster_id, start_broker
from streams.stack.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.slow]


async def make_topic(bootstrap, *, replicas):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("t", 1, replicas)])
    finally:
        await admin.close()


async def send(bootstrap, value):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=20_000) as producer:
        await producer.send_and_wait("t", value)


async def read(bootstrap, count):
    async with AIOKafkaConsumer("t", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 60)).value for _ in range(count)]


async def test_who_comes_through_a_front_stays_on_it(tmp_path):
    """The broker tells such a client to go on to the proxy, so every later connection can be cut there too."""
    [port] = free_ports(1)
    with TcpProxy(port) as proxy:
        broker = start_broker(tmp_path, fronts=[Front(port, proxy.port)])
        try:
            await make_topic(broker.address, replicas=1)
            await send(broker.address, b"past it")
            assert proxy.accepted == 0
            await send(proxy.address, b"through it")
            assert proxy.accepted >= 2
            assert await read(proxy.address, 2) == [b"past it", b"through it"]
        finally:
            broker.stop()


async def test_a_cluster_goes_on_without_a_node_and_takes_it_back(tmp_path):
    """What was acknowledged by three is there with two, two take more, and the third catches up."""
    cluster = Cluster(tmp_path)
    try:
        await make_topic(cluster.bootstrap_servers, replicas=3)
        await send(cluster.bootstrap_servers, b"with three")
        await asyncio.to_thread(cluster.kill, 1)
        await send(cluster.bootstrap_servers, b"with two")
        await asyncio.to_thread(cluster.restart, 1)
        assert await read(cluster.nodes[1].address, 2) == [b"with three", b"with two"]
    finally:
        await asyncio.to_thread(cluster.stop)


def test_a_cluster_id_is_never_an_option():
    """One in 64 of Kafka's base64 ids starts with a dash; the tool that formats a data folder took it for an option and refused."""
    assert not any(new_cluster_id().startswith("-") for _ in range(2000))
