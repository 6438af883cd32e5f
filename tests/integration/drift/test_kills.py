"""Three drift workers that are killed one after the other, and a broker that dies: the windows are those of an offline recount."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.drift_workers import (
    Workers,
    an_hour_ago,
    end_of,
    event_time,
    grown,
    made_up_verdicts,
    publish,
    read_all,
    recount,
    some_tenants,
    wait_for_windows,
)

from schemas import topics
from schemas.base import rfc3339
from schemas.window import OVERALL, WindowSummary
from streams.settings import KafkaSettings
from streams.stack.broker import start_broker
from streams.stack.server import Server
from streams.topics import apply

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SLOTS = ("drift-0", "drift-1", "drift-2")
VERDICTS = 4000
KILLS = 6


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    """A broker of its own: it will die."""
    server = start_broker(tmp_path / "broker")
    yield server
    server.stop()


@pytest.fixture
async def workers(broker: Server, tmp_path: Path) -> Iterator[Workers]:
    """No worker yet; the topics are there."""
    kafka = KafkaSettings(bootstrap_servers=broker.address, drift_group="drift-kills", partitions=6)
    await apply(kafka)
    # longer than the group needs to notice a death: its partitions are read by nobody until then
    started = Workers(kafka, tmp_path, [], idle_close_s=30)
    yield started
    for worker in started.running:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def recounted(workers: Workers, since: str) -> dict:
    """Return what `deeptrace drift recount` says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEEPTRACE_")}
    environ |= {
        "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": workers.kafka.bootstrap_servers,
        "DEEPTRACE_DRIFT__WINDOWS": workers.windows,
    }
    command = [sys.executable, "-m", "streams.cli", "drift", "recount", "--since", since, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    return {**json.loads(done.stdout), "exit_code": done.returncode}


async def said_differently(kafka: KafkaSettings) -> list[str]:
    """Return the ids of windows that were published in more than one wording."""
    wordings: dict[str, set[bytes]] = {}
    for _, value, _ in await read_all(kafka, topics.WINDOWS):
        wordings.setdefault(WindowSummary.from_bytes(value).window_id, set()).add(value)
    return [window_id for window_id, values in wordings.items() if len(values) > 1]


async def test_kills_and_a_broker_restart_change_no_window(broker: Server, workers: Workers) -> None:
    """Six kills and a restart of the broker in a run with three workers: every window is published, with the content of a recount, in one wording."""
    draw = random.Random(4)
    tenants = some_tenants()
    start = an_hour_ago()
    verdicts = made_up_verdicts(VERDICTS, tenants, start=start, seconds=480, seed=4)
    running = {slot: workers.start(slot) for slot in SLOTS}
    publishing = asyncio.create_task(publish(workers.kafka, verdicts, per_second=50))
    for kill in range(KILLS):
        await grown(workers, topics.OBSERVATIONS, await end_of(workers.kafka, topics.OBSERVATIONS) + 8)
        slot = draw.choice(SLOTS)
        running[slot].kill()
        running[slot].wait()
        if kill == KILLS // 2:
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.restart)
        running[slot] = workers.start(slot)
    await publishing
    for slot, worker in running.items():
        if worker.poll() is not None:  # the broker's death may end one; a supervisor starts it again
            running[slot] = workers.start(slot)
    expected = recount(verdicts)
    await wait_for_windows(workers, tenants, len(expected), timeout_s=240)
    of_all = {event_time(one).timestamp() // 60 for one in verdicts}
    await wait_for_windows(workers, [OVERALL], len(of_all), timeout_s=60)
    answer = await asyncio.to_thread(recounted, workers, rfc3339(start - timedelta(minutes=10)))
    assert answer["differences"] == []
    assert (answer["exit_code"], answer["late"], answer["verdicts"]["counted"]) == (0, 0, VERDICTS)
    assert answer["equal"] >= len(expected) + len(of_all)
    assert await said_differently(workers.kafka) == []
