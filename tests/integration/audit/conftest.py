"""One broker and one store for all audits, with topics, a bucket and a group of its own for each."""

import asyncio
import io
import itertools
import json
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from minio import Minio
from support.planted import id_of, letter_of, reference, settled, verdict_of
from support.world import World

from schemas import topics as names
from schemas.incoming import Record
from schemas.settled import object_key
from streams import topics
from streams.settings_sources import load

PARTITIONS = 4
NUMBERS = itertools.count()


class Audited(NamedTuple):
    """What `deeptrace audit --json` came to."""

    code: int
    report: dict
    stderr: str


@dataclass
class Stage:
    """Topics, a bucket and a group that nobody used before, and records written by hand."""

    world: World
    env: dict[str, str]
    s3: Minio
    images: list[Record] = field(default_factory=list)

    def ask(self, record: Record) -> Record:
        """Give a record of the images topic its place: the next of its partition."""
        offset = sum(other.partition == record.partition for other in self.images)
        placed = Record(record.topic, record.partition, offset, record.key, record.value, record.headers)
        self.images.append(placed)
        return placed

    async def write(self, *records: Record, transaction: str | None = None) -> None:
        """Write records as they are, each to its partition; in one transaction if it is named."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.world.info.bootstrap_servers, acks="all", transactional_id=transaction
        )
        async with producer:
            if transaction:
                await producer.begin_transaction()
            sent = [
                await producer.send(r.topic, r.value, key=r.key, headers=list(r.headers), partition=r.partition)
                for r in records
            ]
            await producer.flush()
            if transaction:
                await producer.commit_transaction()
            await asyncio.gather(*sent)

    async def commit(self, offsets: dict[tuple[str, int], int] | None = None) -> None:
        """Commit as the scoring group: by default past all that was asked for."""
        if offsets is None:
            offsets = {(names.IMAGES, p): sum(r.partition == p for r in self.images) for p in range(PARTITIONS)}
        wanted = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        group = self.env["DEEPTRACE_KAFKA__GROUP"]
        async with AIOKafkaConsumer(
            bootstrap_servers=self.world.info.bootstrap_servers, group_id=group, enable_auto_commit=False
        ) as consumer:
            consumer.assign(list(wanted))
            await consumer.commit(wanted)

    def store(self, identity: str, data: bytes) -> None:
        """Put what is stored for an outcome."""
        self.s3.put_object(self.bucket, object_key(identity), io.BytesIO(data), len(data))

    @property
    def bucket(self) -> str:
        return self.env["DEEPTRACE_STORE__OUTCOME_BUCKET"]

    def deeptrace(self, *arguments: str, **env: str):
        return self.world.run(*arguments, **{**self.env, **env})

    def audit(self, *arguments: str, **env: str) -> Audited:
        """Run the audit to its end."""
        done = self.deeptrace("audit", "--json", *arguments, **env)
        return Audited(done.returncode, json.loads(done.stdout or "{}"), done.stderr)

    async def settle(self, record: Record, identity: str) -> None:
        """Store an outcome and publish it, as a worker does."""
        self.store(identity, settled(record, identity))
        await self.write(record)

    async def forget(self, topic: str, partition: int, *, before: int) -> None:
        """Take away what lies before an offset, as retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.world.info.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()

    async def clean_run(self, *, good: int = 8, bad: int = 2) -> None:
        """Write references with their outcomes, all settled, published and committed past."""
        for n in range(good + bad):
            name = f"r{n}"
            source = self.ask(reference(name, n % PARTITIONS))
            outcome = verdict_of(source, name) if n < good else letter_of(source, id_of(name))
            await self.write(source)
            await self.settle(outcome, id_of(name))
        await self.commit()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One broker and one store for the tests of a file."""
    world = World(tmp_path_factory.mktemp("audit"), partitions=PARTITIONS)
    yield world
    world.close()


@pytest.fixture
async def stage(shared):
    """Fresh topics in the shared world."""
    number = next(NUMBERS)
    env = {
        "DEEPTRACE_STORE__OUTCOME_BUCKET": f"outcomes-{number}",
        "DEEPTRACE_KAFKA__GROUP": f"group-{number}",
        "DEEPTRACE_KAFKA__RETRY_DELAYS_S": "[10, 60]",
    }
    settings = load({**shared.env, **env}).settings
    await forget_topics(shared)
    await topics.apply(settings.kafka)
    s3 = Minio(shared.info.s3_endpoint, shared.info.s3_access_key, shared.info.s3_secret_key, secure=False)
    s3.make_bucket(f"outcomes-{number}")
    return Stage(shared, env, s3)


async def forget_topics(world):
    """Delete every topic of the service, and wait until the broker has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.info.bootstrap_servers)
    await admin.start()
    try:
        while ours := [name for name in await admin.list_topics() if not name.startswith("__")]:
            await admin.delete_topics(ours)
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
