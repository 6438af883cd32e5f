"""References whose object is not there yet: they wait on topics of their own, hold nobody up, and keep their identity."""

import asyncio
import json
import signal

import pytest
from support.world import IMAGES, LETTERS, VERDICTS, World, native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RETRIES = ("deeptrace.images.v1.retry.1", "deeptrace.images.v1.retry.2")
FAST = {"DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.01", "DEEPTRACE_PIPELINE__ATTEMPTS": "3"}


@pytest.fixture
def world(tmp_path):
    """A world with two retry topics, of one second and of two."""
    made = World(tmp_path, retry_delays_s=(1, 2))
    yield made
    made.close()


async def until(found, timeout_s=30):
    """Wait until `found()` is true; return what it is."""
    async with asyncio.timeout(timeout_s):
        while not (result := await found()):
            await asyncio.sleep(0.2)
    return result


async def test_late_objects_get_verdicts_and_absent_ones_dead_letters_and_nobody_waits_for_them(world):
    """One uploaded while its reference waits, one never; forty good ones, published after them, are through before."""
    world.put("good", picture(1))
    await world.publish([native("late", "late"), native("never", "never")])
    await world.publish([native(f"good-{n}", "good") for n in range(40)])
    worker = world.worker(**FAST)
    await until(lambda: world.records(RETRIES[0]))
    world.put("late", picture(2))
    count = await world.wait_for_all(30)
    assert count.missing == set()
    assert count.kinds("dead letter") == {"never"}

    [late_in] = [record for record in await world.records(IMAGES) if b'"late"' in record.value]
    verdicts = {json.loads(record.value)["event_id"]: record for record in await world.records(VERDICTS)}
    source = json.loads(verdicts["late"].value)["source"]
    assert (source["topic"], source["partition"], source["offset"]) == (IMAGES, late_in.partition, late_in.offset)

    [letter] = await world.records(LETTERS)
    headers = dict(letter.headers)
    assert (headers["dt-error-code"], headers["dt-attempts"]) == (b"object_not_found", b"9")
    assert headers["__connect.errors.topic"] == IMAGES.encode()
    assert list(letter.headers[:4]) == native("never", "never")[1]
    assert all(verdicts[f"good-{n}"].timestamp < verdicts["late"].timestamp for n in range(40))

    for step, topic in enumerate(RETRIES):
        for record in await world.records(topic):
            said = dict(record.headers)
            assert int(said["dt-attempts"]) == 3 * (step + 1)
            assert said["dt-retry-code"] == b"object_not_found"
            due_in_s = int(said["dt-not-before"]) / 1000 - record.timestamp / 1000
            assert due_in_s == pytest.approx(step + 1, abs=0.5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


async def test_a_restart_while_they_wait_loses_nothing(world):
    """SIGTERM and then SIGKILL in the wait: what was put aside is still due, and nothing is decided twice."""
    await world.publish([native(f"late-{n}", f"late-{n}") for n in range(30)])
    first = world.worker(**FAST)
    await until(lambda: world.records(RETRIES[0]))
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 30) == 0
    second = world.worker(**FAST)
    await until(lambda: world.records(RETRIES[1]))
    second.send_signal(signal.SIGKILL)
    second.wait()
    for n in range(0, 30, 2):
        world.put(f"late-{n}", picture(n))
    world.worker(**FAST)
    count = await world.wait_for_all(40)
    assert count.missing == set()
    assert count.both == set()
    assert count.several_ids == set()
    assert count.kinds("verdict") >= {f"late-{n}" for n in range(0, 30, 2)}


@pytest.fixture
def patient(tmp_path):
    """A world whose references wait longer than any test: on the first retry topic."""
    made = World(tmp_path, retry_delays_s=(600,))
    yield made
    made.close()


@pytest.fixture
def patient_at_last(tmp_path):
    """A world whose references wait longer than any test: on the second retry topic."""
    made = World(tmp_path, retry_delays_s=(1, 600))
    yield made
    made.close()


async def test_many_that_wait_hold_up_no_image_even_after_a_restart(patient):
    """More than Faust's buffers take: it delivers all topics in one loop, and a full buffer would stop the images, too."""
    patient.put("good", picture(1))
    await patient.publish([native(f"never-{n}", "never") for n in range(400)])
    first = patient.worker(**FAST)
    await until(lambda: fully_put_aside(patient, 400), timeout_s=60)
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 30) == 0
    await patient.publish([native(f"good-{n}", "good") for n in range(100)])
    second = patient.worker(**FAST)
    await patient.wait_for_outcomes(100, timeout_s=45)
    count = await patient.count()
    assert count.kinds("verdict") == {f"good-{n}" for n in range(100)}
    assert second.poll() is None


async def fully_put_aside(world, references):
    return len(await world.records(RETRIES[0])) >= references


async def test_a_worker_refuses_to_leave_references_on_a_retry_topic_that_it_is_not_told_to_read(patient_at_last):
    """Fewer delays than there were: exit 78, with the topic and what to do."""
    world = patient_at_last
    await world.publish([native("never", "never")])
    first = world.worker(**FAST)
    await until(lambda: world.records(RETRIES[1]))
    first.send_signal(signal.SIGKILL)
    first.wait()
    refused = await asyncio.to_thread(world.run, "worker", DEEPTRACE_KAFKA__RETRY_DELAYS_S="[1]")
    assert refused.returncode == 78
    assert RETRIES[1] in refused.stderr
