"""`deeptrace replay` against a real broker and a real store: killed, stopped, left without a store, and gone on with each time."""

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from minio import Minio
from support.tiny_release import write_checkpoint
from support.world import BUCKET, VERDICTS, World, native, picture

from schemas import topics as names

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

REPLAYED = names.REPLAYED_VERDICTS
REFERENCES = 200
PICTURES = 20
GONE = "gone"
QUICK = {
    "DEEPTRACE_MODEL__THREADS": "1",
    "DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02",
    "DEEPTRACE_PIPELINE__IN_FLIGHT": "16",
    "DEEPTRACE_STORE__READ_TIMEOUT_S": "1",
    "DEEPTRACE_STORE__DEADLINE_S": "2",
}
WINDOWS = {
    "DEEPTRACE_DRIFT__WINDOWS": '["1s"]',
    "DEEPTRACE_DRIFT__ALLOWED_LATENESS_S": "0",
    "DEEPTRACE_DRIFT__IDLE_CLOSE_S": "0.5",
}
COMMAND = ("-m", "streams.cli", "replay", "backfill", "--all", "--with", "1.0")


@dataclass
class Story:
    """What happened to one replay."""

    world: World
    exit_codes: list[int] = field(default_factory=list)
    published: list[int] = field(default_factory=list)  # on the replay topic after each run
    report: dict = field(default_factory=dict)
    stored: dict = field(default_factory=dict)
    priorities: list[int] = field(default_factory=list)
    lives: list[object] = field(default_factory=list)
    live_before: list = field(default_factory=list)
    live_after: list = field(default_factory=list)
    replayed: list = field(default_factory=list)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("replay"))
    try:
        told = Story(world)
        judge_history(world)
        publish_release(world)
        asyncio.run(tell(told))
        yield told
    finally:
        world.close()


def judge_history(world):
    """Let a worker judge two hundred references, then take one object away and change another."""
    for n in range(PICTURES):
        world.put(f"picture-{n}", picture(n, 64))
    world.put(GONE, picture(98, 64))
    world.put("changed", picture(99, 64))
    keys = [GONE, "changed", *(f"picture-{n % PICTURES}" for n in range(REFERENCES - 2))]
    asyncio.run(world.publish([native(f"event-{n}", key) for n, key in enumerate(keys)]))
    worker = world.worker()
    world.start("-m", "streams.cli", "drift-worker", log="drift.log", **WINDOWS)
    asyncio.run(world.wait_for_outcomes(REFERENCES, timeout_s=120))
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    asyncio.run(until_counted(world))
    world.store.delete(BUCKET, GONE)
    world.put("changed", picture(100, 64))


def publish_release(world):
    """Publish a model that judges otherwise than the one that judged, and make the buckets."""
    assert world.run("storage", "init").returncode == 0
    write_checkpoint(world.folder / "one.safetensors", seed=1, version="trained")
    done = world.run("model", "publish", str(world.folder / "one.safetensors"), "--version", "1.0")
    assert done.returncode == 0, done.stderr


async def tell(told):
    world = told.world
    told.live_before = await live(world)
    # Killed in the middle.
    child = world.start(*COMMAND, "--rate", "30/s", log="replay.log", **QUICK)
    await until_replayed(world, child, 40)
    told.priorities.append(os.getpriority(os.PRIO_PROCESS, child.pid))
    child.kill()
    await ended(told, child)
    # Stopped by Ctrl-C.
    child = world.start(*COMMAND, "--rate", "30/s", log="replay.log", **QUICK)
    await until_replayed(world, child, 90)
    child.send_signal(signal.SIGINT)
    await ended(told, child)
    # Left without a store for a while.
    child = world.start(*COMMAND, "--rate", "30/s", log="replay.log", **QUICK)
    await until_replayed(world, child, 120)
    world.signal_store(signal.SIGSTOP)
    await asyncio.sleep(4)
    told.lives.append(child.poll())
    world.signal_store(signal.SIGCONT)
    await ended(told, child)
    # Once more, at the end.
    done = await asyncio.to_thread(world.run, *COMMAND[2:], "--windows", "1h", "--json", **QUICK)
    told.exit_codes.append(done.returncode)
    told.report = json.loads(done.stdout)
    told.live_after = await live(world)
    told.replayed = await world.records(REPLAYED)
    told.stored = json.loads(in_drift_bucket(world, "replays/backfill.json"))


async def until_counted(world, timeout_s=90):
    """Wait until the drift worker, which goes on to the end of the story, has all verdicts in closed windows."""
    ends_at = time.monotonic() + timeout_s
    images = 0
    while images < REFERENCES:
        if time.monotonic() > ends_at:
            pytest.fail(f"{images} images in windows\n{(world.folder / 'drift.log').read_text()[-4000:]}")
        await asyncio.sleep(0.5)
        windows = [json.loads(record.value) for record in await world.records(names.WINDOWS)]
        images = sum(window["images"] + window["late"] for window in windows if window["tenant"] == "default")
    await asyncio.sleep(3)


async def live(world):
    """Return what lies on the topics that live windows are made from."""
    return sorted(
        (record.topic, record.partition, record.offset, record.value)
        for record in await world.records(VERDICTS, names.OBSERVATIONS, names.WINDOWS)
    )


async def until_replayed(world, child, count, timeout_s=90):
    """Wait until so many records lie on the replay topic."""
    ends_at = time.monotonic() + timeout_s
    while len(await world.records(REPLAYED)) < count:
        if child.poll() is not None or time.monotonic() > ends_at:
            pytest.fail(f"exit code {child.poll()}\n{(world.folder / 'replay.log').read_text()[-4000:]}")
        await asyncio.sleep(0.2)


async def ended(told, child):
    told.exit_codes.append(await asyncio.to_thread(child.wait, 120))
    told.published.append(len(await told.world.records(REPLAYED)))


def in_drift_bucket(world, key):
    info = world.info
    client = Minio(info.s3_endpoint, info.s3_access_key, info.s3_secret_key, secure=False)
    with client.get_object("deeptrace-drift", key) as answer:
        return answer.read()


def test_it_was_interrupted_where_it_was_meant_to_be(story):
    """Or the rest of this file says nothing."""
    assert story.exit_codes == [-signal.SIGKILL, 128 + signal.SIGINT, 0, 0]
    killed, stopped, finished = story.published
    assert 40 <= killed < stopped < finished == REFERENCES - 2
    assert story.lives == [None]  # without a store it waits
    assert story.priorities == [19]  # and lets everybody else go first


def test_nothing_is_missing_and_nothing_is_there_twice(story):
    """Each verdict but the two whose objects are at fault, once, under an id of its own."""
    old = {json.loads(value)["outcome_id"] for topic, _, _, value in story.live_before if topic == VERDICTS}
    assert len(old) == REFERENCES
    contents = defaultdict(set)
    for record in story.replayed:
        contents[dict(record.headers)["ce_id"]].add(record.value)
    assert [found for found in contents.values() if len(found) > 1] == []
    bodies = [json.loads(record.value) for record in story.replayed]
    assert len(bodies) == len(contents) == len({body["replay_of"] for body in bodies}) == REFERENCES - 2
    assert {body["replay_of"] for body in bodies} < old
    assert {body["reason"] for body in bodies} == {"replay"}
    assert {body["model"]["version"] for body in bodies} == {"1.0"}
    assert not {body["outcome_id"] for body in bodies} & old


def test_live_verdicts_and_windows_are_as_they_were(story):
    """A drift worker ran all the time, and found nothing to count."""
    assert any(topic == names.WINDOWS for topic, *_ in story.live_before)
    assert story.live_after == story.live_before


def test_the_report_counts_all_runs(story):
    """On standard output, and in the bucket."""
    report = story.report
    assert (report["complete"], report["replayed"], report["compared"]) == (True, REFERENCES - 2, REFERENCES - 2)
    assert report["failed"] == {"object_changed": 1, "object_not_found": 1}
    assert report["before"] == {"fake-1": REFERENCES - 2}
    assert sum(sum(row.values()) for row in report["matrix"].values()) == REFERENCES - 2
    assert report["flips"] == sum(
        count for old, row in report["matrix"].items() for new, count in row.items() if old != new
    )
    assert {**story.stored, "written": None, "seconds": None} == {
        **{name: value for name, value in report.items() if name != "ending"},
        "written": None,
        "seconds": None,
    }


def test_the_windows_of_a_replay_are_in_its_report_and_nowhere_else(story):
    """Every replayed image is in one of its tenant and in one over all tenants, beside what the old verdict was."""
    for tenant in ("default", "*"):
        found = [one for one in story.report["windows"] if one["after"]["tenant"] == tenant]
        assert sum(one["after"]["images"] for one in found) == REFERENCES - 2
        assert sum(sum(one["before"].values()) for one in found) == REFERENCES - 2
        assert {version for one in found for version in one["after"]["model_versions"]} == {"1.0"}


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(story):
    """Of one selection, at the given rate; no group is made, so the first run may still be another."""
    done = story.world.run("replay", "later", "--prefix", "picture-1", "--dry-run", "--rate", "10/s", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    expected = sum(f"picture-{n % PICTURES}".startswith("picture-1") for n in range(REFERENCES - 2))
    assert (said["matching"], said["seconds"], said["by_model"]) == (expected, expected / 10, {"fake-1": expected})
    assert story.world.run("replay", "later", "--model", "no-such", "--dry-run").returncode == 0
    assert len(asyncio.run(story.world.records(REPLAYED))) == len(story.replayed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backfill", "--prefix", "x"], "begun otherwise"),
        (["backfill", "--all"], "the model that judges"),
        (["other"], "say what is to be judged again"),
        (["other", "--all", "--tenant", "x"], "--all goes with no other condition"),
        (["Other", "--all"], "not a name"),
        (["other", "--all", "--rate", "fast"], "not a rate"),
        (["other", "--from", "1h", "--to", "2h"], "--from must lie before --to"),
        (["other", "--all", "--windows", "1h/10m"], "do not overlap"),
        (["other", "--all", "--with", "1.0", "--checkpoint", "one.safetensors"], "--with or --checkpoint"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(story, arguments, said):
    """With exit code 2; other conditions or another model under a name that is taken, too."""
    done = story.world.run("replay", *arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
