"""The drift worker as a process of its own, on a real broker: windows equal a recount, whatever dies."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.drift_workers import (
    ON_A_SLOW_BROKER,
    Workers,
    alerted,
    an_hour_ago,
    end_of,
    grown,
    made_up_verdicts,
    publish,
    recount,
    said,
    said_bytes,
    some_tenants,
    wait_for_windows,
)

from schemas import topics
from streams.producer import Producer
from streams.settings import KafkaSettings
from streams.stack.local_stack import StackInfo
from streams.topics import apply, drift_table_changelog

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GROUP = "drift-test"


@pytest.fixture
async def workers(stack: StackInfo, tmp_path: Path) -> Iterator[Workers]:
    """No worker yet; the topics are there. The group is shared by these tests, so that none reads the others' verdicts again."""
    kafka = KafkaSettings(bootstrap_servers=stack.bootstrap_servers, drift_group=GROUP, partitions=4)
    await apply(kafka)
    started = Workers(kafka, tmp_path, [])
    yield started
    for worker in started.running:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


async def test_windows_equal_a_recount(workers: Workers) -> None:
    """2,000 verdicts in random order within lateness, read as a backlog, give the summaries that counting them in one go gives, once each."""
    tenants = some_tenants()
    verdicts = made_up_verdicts(2000, tenants, start=an_hour_ago(), seconds=480, seed=1)
    expected = recount(verdicts)
    await publish(workers.kafka, verdicts, per_second=10_000)
    async with Producer(workers.kafka, client_id="test") as producer:
        for junk in (b"no verdict", None):
            await producer.send(topics.VERDICTS, key=b"junk", value=junk)
    written = await end_of(workers.kafka, drift_table_changelog(workers.kafka))
    worker = workers.start()
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert len(found) == len(expected)
    assert sum(one.late for one in found) == 0
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 30) == 0, workers.logs()[-3000:]
    written = await end_of(workers.kafka, drift_table_changelog(workers.kafka)) - written
    assert written <= len(verdicts) / 16
    assert await alerted(workers.kafka, tenants) == {
        (one.tenant, one.divergences.episode_id)
        for one in found
        if one.divergences is not None and one.divergences.episode_id is not None
    }
    assert workers.logs().count('"event": "skipped"') == 2


async def test_two_kills_change_nothing(workers: Workers) -> None:
    """The same with the worker killed twice in the middle, on a slow broker: every count is exact, and repeats are byte-identical."""
    tenants = some_tenants()
    verdicts = made_up_verdicts(2000, tenants, start=an_hour_ago(), seconds=480, seed=2)
    expected = recount(verdicts)
    worker = workers.start(before=ON_A_SLOW_BROKER)
    publishing = asyncio.create_task(publish(workers.kafka, verdicts, per_second=40))
    for _ in range(2):
        observed = await end_of(workers.kafka, topics.OBSERVATIONS)
        written = await end_of(workers.kafka, drift_table_changelog(workers.kafka))
        await grown(workers, topics.OBSERVATIONS, observed + 4)
        await grown(workers, drift_table_changelog(workers.kafka), written + 4)
        worker.kill()
        worker.wait()
        worker = workers.start(before=ON_A_SLOW_BROKER)
    await publishing
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert sum(one.late for one in found) == 0
    assert len(await said_bytes(workers.kafka, tenants)) == len(expected)


async def test_another_worker_takes_over(workers: Workers) -> None:
    """Two workers share the tenants; when one is killed, the other goes on with its windows where it stood."""
    workers.idle_close_s = (
        25  # longer than the group needs to notice a death: its partitions are read by nobody until then
    )
    tenants = some_tenants()
    verdicts = made_up_verdicts(1500, tenants, start=an_hour_ago(), seconds=480, seed=3)
    expected = recount(verdicts)
    first = workers.start("drift-0")
    publishing = asyncio.create_task(publish(workers.kafka, verdicts, per_second=40))
    await grown(workers, topics.OBSERVATIONS, await end_of(workers.kafka, topics.OBSERVATIONS) + 8)
    workers.start("drift-1")
    await grown(workers, topics.OBSERVATIONS, await end_of(workers.kafka, topics.OBSERVATIONS) + 30)
    first.kill()
    first.wait()
    await publishing
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert sum(one.late for one in found) == 0
    assert len(await said_bytes(workers.kafka, tenants)) == len(expected)


async def test_without_its_changelog_a_worker_refuses_to_start(workers: Workers) -> None:
    """Faust would go on without a table and lose every window at the next restart; the worker exits with 78 and says what to do."""
    workers.kafka = workers.kafka.model_copy(update={"drift_group": "drift-without-topics"})
    worker = workers.start()
    assert await asyncio.to_thread(worker.wait, 60) == 78
    assert "missing topics: drift-without-topics-windows-changelog" in workers.logs()
    assert "deeptrace topics apply" in workers.logs()
