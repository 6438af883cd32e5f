"""The scoring worker as a real process on a real broker and store: bad input, outages, rebalances, life cycle."""

import asyncio
import json
import re
import signal
import time
from pathlib import Path

import pytest
from support.world import ce, native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHARED = Path(__file__).parents[4] / "shared" / "data"


async def codes(world) -> dict[str, str]:
    """Return the error code of each dead letter by the reference's ce_id."""
    shown = await asyncio.to_thread(world.run, "dlq", "list", "--json", "--limit", "100000")
    letters = [json.loads(line) for line in shown.stdout.splitlines()]
    count = await world.count()
    places = {place: event for event, place in count.accepted.items()}
    return {places[letter["partition"], letter["offset"]]: letter["code"] for letter in letters}


async def test_each_bad_input_has_its_code_and_its_batch_mates_get_verdicts(world):
    """Garbage, forgery and absence in one batch with good images: never a crash, never a wrong neighbour."""
    world.put("good", picture(1))
    world.put("empty", b"")
    world.put("text", b"just some text in a file called .jpg")
    world.put("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    world.put("truncated", picture(2)[:20])
    world.put("ends-early", picture(2)[:-2000])
    bad = {
        "not-json": (b"{", "message_not_json"),
        "version": (json.dumps({"schema": "deeptrace.image/7"}).encode(), "schema_version_unknown"),
        "field": (b'{"event_id": "x"}', "message_invalid"),
        "bucket": (native("bucket", "good", object={"bucket": "elsewhere", "key": "good"})[0], "bucket_forbidden"),
        "key": (native("key", "../../etc/passwd")[0], "key_forbidden"),
        "missing": (native("missing", "never-uploaded")[0], "object_not_found"),
        "empty": (native("empty", "empty")[0], "object_empty"),
        "text": (native("text", "text")[0], "not_an_image"),
        "svg": (native("svg", "svg")[0], "image_is_svg"),
        "truncated": (native("truncated", "truncated")[0], "image_truncated"),
    }
    good = [native(f"good-{n}", "good") for n in range(20)] + [native("ends-early", "ends-early")]
    await world.publish([*good, *((value, ce(name)) for name, (value, _) in bad.items())])
    worker = world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    count = await world.wait_for_all(timeout_s=90)
    assert count.missing == set()
    assert await codes(world) == {name: code for name, (_, code) in bad.items()}
    assert count.kinds("verdict") == {f"good-{n}" for n in range(20)} | {"ends-early"}
    assert worker.poll() is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder of real and broken images beside the repository")
async def test_every_hostile_and_every_rotated_file_has_an_outcome(world):
    """Broken, oversized and strange files of image libraries' own test suites, and all EXIF orientations."""
    files = [path for folder in ("hostile", "orientation") for path in sorted((SHARED / folder).iterdir())]
    assert len(files) > 50
    for n, path in enumerate(files):
        world.put(f"file-{n}", path.read_bytes())
    await world.publish([native(f"file-{n}", f"file-{n}") for n in range(len(files))])
    worker = world.worker()
    count = await world.wait_for_all(timeout_s=120)
    assert count.missing == set()
    rotated = {f"file-{n}" for n, path in enumerate(files) if path.parent.name == "orientation"}
    assert rotated <= count.kinds("verdict")
    assert worker.poll() is None


async def test_sigterm_finishes_what_is_in_flight_and_a_restart_replays_nothing(world):
    """Exit 0 with everything finished committed: the next worker goes on where this one stopped."""
    world.put("good", picture(1))
    await world.publish([native(f"event-{n}", "good") for n in range(600)])
    first = world.worker()
    await world.wait_for_outcomes(150, timeout_s=90)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    second = world.worker()
    count = await world.wait_for_all(timeout_s=90)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    assert count.missing == set()
    assert [event for event, found in count.outcomes.items() if len(found) > 1] == []


def metric(http, port: int, line: str) -> float:
    """Return the value of one line of a worker's /metrics; 0 while it is not there."""
    try:
        _, body = http(f"http://127.0.0.1:{port}/metrics")
    except OSError:
        return 0.0
    found = re.search(rf"^{re.escape(line)} (\S+)$", body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_a_second_worker_joins_in_mid_run_and_nothing_is_lost(world, http):
    """A rebalance hands partitions over while references keep coming; repeats may happen, losses may not."""
    world.put("good", picture(1))
    await world.publish([native(f"first-{n}", "good") for n in range(200)])
    world.worker("slot-0")
    await world.wait_for_outcomes(50, timeout_s=90)
    world.worker("slot-1", DEEPTRACE_HTTP__PORT="16167")
    outcomes = 'deeptrace_outcomes_total{kind="verdict"}'
    for round_ in range(60):
        await world.publish([native(f"round-{round_}-{n}", "good") for n in range(40)])
        if await asyncio.to_thread(metric, http, 16167, outcomes) > 0:
            break
        await asyncio.sleep(0.5)
    else:
        pytest.fail("the second worker never settled a reference")
    count = await world.wait_for_all(timeout_s=120)
    assert count.missing == set()
    assert count.both == set()
    assert count.several_ids == set()


async def test_while_the_store_is_down_references_wait(world, http):
    """An outage makes no dead letter: what is in flight waits, and goes on when the store is back."""
    world.put("good", picture(1))
    world.worker(
        DEEPTRACE_HTTP__PORT="16168",
        DEEPTRACE_PIPELINE__DEPENDENCY_WAIT_S="0.5",
        DEEPTRACE_STORE__READ_TIMEOUT_S="0.5",
    )
    await world.publish([native("first", "good")])
    await world.wait_for_outcomes(1, timeout_s=90)
    world.signal_store(signal.SIGSTOP)
    await world.publish([native(f"event-{n}", "good") for n in range(100)])
    waits = 'deeptrace_retries_total{code="store_unavailable"}'
    deadline = time.monotonic() + 30
    while await asyncio.to_thread(metric, http, 16168, waits) < 20 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert len((await world.count()).missing) == 100
    world.signal_store(signal.SIGCONT)
    count = await world.wait_for_all(timeout_s=90)
    assert count.missing == set()
    assert count.kinds("dead letter") == set()


async def test_the_worker_says_that_it_is_not_ready_while_the_store_is_down(world, http):
    """503 with the reason, in bounded time, though the store hangs; alive all the while."""
    world.put("good", picture(1))
    world.worker(DEEPTRACE_HTTP__PORT="16169")
    await world.publish([native("first", "good")])
    await world.wait_for_outcomes(1, timeout_s=90)
    world.signal_store(signal.SIGSTOP)
    status, body = await asyncio.to_thread(http, "http://127.0.0.1:16169/readyz")
    alive, _ = await asyncio.to_thread(http, "http://127.0.0.1:16169/livez")
    world.signal_store(signal.SIGCONT)
    assert (status, alive) == (503, 200)
    assert "no answer" in json.loads(body)["checks"]["store"]


async def test_health_readiness_and_metrics(world, http):
    """Ready once partitions are assigned; the counters say what was published."""
    world.put("good", picture(1))
    await world.publish([native("event", "good"), (b"{", ce("bad"))])
    world.worker(DEEPTRACE_HTTP__PORT="16166")
    await world.wait_for_outcomes(2, timeout_s=90)
    status, body = await asyncio.to_thread(http, "http://127.0.0.1:16166/readyz")
    assert status == 200, body
    assert json.loads(body)["checks"] == dict.fromkeys(("draining", "partitions", "store", "intake", "progress"), "ok")
    assert (await asyncio.to_thread(http, "http://127.0.0.1:16166/livez"))[0] == 200
    _, metrics = await asyncio.to_thread(http, "http://127.0.0.1:16166/metrics")
    assert b'deeptrace_outcomes_total{kind="verdict"} 1.0' in metrics
    assert b'deeptrace_dead_letters_total{code="message_not_json"} 1.0' in metrics
    assert b'kind="fake"' in metrics


async def test_a_bucket_notification_is_read_as_the_server_sends_it(world):
    """URL-encoded key, two records, one of them our own overlay: one verdict."""
    world.put("my cat/a.png", picture(1))
    records = [
        {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        for bucket, key in (("deeptrace-images", "my+cat%2Fa.png"), ("deeptrace-overlays", "overlays/ab/abc.webp"))
    ]
    await world.publish([(json.dumps({"Records": records}).encode(), [])])
    await world.publish([native("after", "no-such-object")])
    world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    await world.wait_for_outcomes(2, timeout_s=60)
    shown = world.run("watch", "--from-beginning", "--limit", "2", "--json")
    [verdict] = [row["value"] for row in map(json.loads, shown.stdout.splitlines()) if "value" in row]
    assert verdict["image_id"] == "deeptrace-images/my cat/a.png"
    assert verdict["source"]["format"] == "s3_notification"


def test_a_worker_refuses_to_start_where_outcomes_could_not_be_published(world):
    """Missing buckets and a simulated checkpoint: exit 78, with the remedy in the log."""
    refused = world.run("worker", DEEPTRACE_STORE__IMAGE_BUCKETS='["nobody-made-this"]')
    assert refused.returncode == 78
    assert "deeptrace storage init" in refused.stderr
    simulated = world.run("worker", DEEPTRACE_MODEL__CLASSIFIER="ensemble")
    assert simulated.returncode == 78
    assert "DEEPTRACE_MODEL__ALLOW_SIMULATED" in simulated.stderr


async def test_a_worker_told_to_stop_while_the_broker_is_away_ends(world):
    """SIGTERM must end it in bounded time, whatever hangs; what it could not publish was never acknowledged."""
    world.put("good", picture(1))
    worker = world.worker(DEEPTRACE_PIPELINE__DRAIN_S="3")
    await world.publish([native("first", "good")])
    await world.wait_for_outcomes(1, timeout_s=90)
    world.signal_broker(signal.SIGSTOP)
    worker.send_signal(signal.SIGTERM)
    try:
        assert await asyncio.to_thread(worker.wait, 60) == 0
    finally:
        world.signal_broker(signal.SIGCONT)
