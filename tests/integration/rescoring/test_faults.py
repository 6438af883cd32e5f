"""A replay whose broker dies, and one whose own process is paused until another has taken its place."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from support.rescoring import BUCKET, old_verdict, png

from schemas import topics as names
from storage.minio_store import MinioStore
from streams import topics
from streams.settings_sources import load
from streams.stack.broker import start_broker

pytestmark = [pytest.mark.integration, pytest.mark.slow]

VERDICTS = 400
PICTURES = 8
AWAY_S = 5


@pytest.fixture
def broker(tmp_path):
    """A broker that may be killed."""
    server = start_broker(tmp_path / "broker")
    yield server
    server.stop()


@pytest.fixture
def env(broker, s3proxy):
    """What a process here is told; the store holds the images."""
    made = {
        "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": broker.address,
        "DEEPTRACE_KAFKA__PARTITIONS": "2",
        "DEEPTRACE_KAFKA__REQUEST_TIMEOUT_S": "8",
        "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6",
        "DEEPTRACE_STORE__ENDPOINT": s3proxy.endpoint,
        "DEEPTRACE_STORE__ACCESS_KEY": s3proxy.access_key,
        "DEEPTRACE_STORE__SECRET_KEY": s3proxy.secret_key,
        "DEEPTRACE_MODEL__CLASSIFIER": "fake",
    }
    asyncio.run(topics.apply(load(made).settings.kafka))
    store = MinioStore(
        s3proxy.endpoint,
        access_key=s3proxy.access_key,
        secret_key=s3proxy.secret_key,
        secure=False,
        allowed_buckets={BUCKET, "deeptrace-overlays", "deeptrace-drift"},
    )
    for bucket in (BUCKET, "deeptrace-overlays", "deeptrace-drift"):
        store.ensure_bucket(bucket)
    for number in range(PICTURES):
        store.put(BUCKET, f"a/{number}.png", png(number), content_type="image/png", deadline_s=5)
    store.close()
    return made


async def plant(address):
    """Put old verdicts on the topic, as a worker would have."""
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        for number in range(VERDICTS):
            picture = number % PICTURES
            old = old_verdict(number, png(picture), object={"key": f"a/{picture}.png"})
            await producer.send(names.VERDICTS, old.to_bytes(), key=str(number).encode())
        await producer.flush()


async def published(address):
    """Return what lies on the replay topic."""
    found = []
    async with AIOKafkaConsumer(
        names.REPLAYED_VERDICTS, bootstrap_servers=address, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [(dict(record.headers)["ce_id"], record.value) for record in records]
    return found


@pytest.fixture
def start(env, tmp_path):
    """Start `deeptrace replay faulty --all`; what it prints goes to files of this name."""
    children = []

    def begin(log, rate):
        with (tmp_path / f"{log}.json").open("w") as out, (tmp_path / f"{log}.log").open("w") as said:
            children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "streams.cli", "replay", "faulty", "--all", "--rate", rate, "--json"],
                    env={**os.environ, **env},
                    cwd=tmp_path,
                    stdout=out,
                    stderr=said,
                )
            )
        return children[-1]

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def until_begun(address, child, log, count):
    """Wait until so many are replayed."""
    ends_at = time.monotonic() + 60
    while len(asyncio.run(published(address))) < count:
        assert child.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < ends_at


def test_a_broker_that_is_killed_and_comes_back_costs_nothing_but_time(broker, start, tmp_path):
    """Each verdict is replayed; what was sent twice for want of an answer is the same twice."""
    asyncio.run(plant(broker.address))
    child, log = start("only", "40/s"), tmp_path / "only.log"
    until_begun(broker.address, child, log, 60)
    broker.kill()
    time.sleep(AWAY_S)
    assert child.poll() is None, log.read_text()[-3000:]
    broker.restart()
    assert child.wait(120) == 0, log.read_text()[-3000:]
    report = json.loads((tmp_path / "only.json").read_text())
    assert (report["replayed"], report["failed"], report["complete"]) == (VERDICTS, {}, True)
    records = asyncio.run(published(broker.address))
    assert len(set(records)) == len({identity for identity, _ in records}) == VERDICTS


def test_a_paused_process_and_the_one_that_took_its_place_publish_nothing_twice(broker, start, tmp_path):
    """While the first works a second does not begin; once it stands still it does, and the first ends when it wakes up."""
    asyncio.run(plant(broker.address))
    first, log = start("first", "4/s"), tmp_path / "first.log"
    until_begun(broker.address, first, log, 10)
    early = start("early", "max")
    assert early.wait(60) == 3
    assert "another process" in (tmp_path / "early.log").read_text()
    first.send_signal(signal.SIGSTOP)
    second = start("second", "max")
    assert second.wait(120) == 0, (tmp_path / "second.log").read_text()[-3000:]
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 3, log.read_text()[-3000:]
    assert "another process" in log.read_text()
    assert json.loads((tmp_path / "second.json").read_text())["replayed"] == VERDICTS
    records = asyncio.run(published(broker.address))
    assert len(records) == len({identity for identity, _ in records}) == VERDICTS
