"""A worker with the rights that the documented commands grant, and none besides, does its whole job over TLS."""

import json
import signal
from collections import Counter

import pytest
from support.kafka_admin import grant, revoke
from support.secure_world import CANARY, OUTCOMES, OVERLAYS, WORKER
from support.world import native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITE_VERDICTS = ("Write", "topic", "deeptrace.verdicts.v1")
READ_IMAGES = ("Read", "topic", "deeptrace.images.v1")
WRITE_LETTERS = ("Write", "topic", "deeptrace.images.v1.dlq")
READ_GROUP = ("Read", "group", "deeptrace-scoring")


def said(world, log: str) -> str:
    """What a worker has logged; no secret is ever in it."""
    text = (world.folder / log).read_text()
    assert CANARY not in text
    return text


def written(world) -> set[str]:
    """The keys of all overlays and outcomes, without what a check at start may leave."""
    keys = {info.key for bucket in (OVERLAYS, OUTCOMES) for info in world.store.list(bucket)}
    return {key for key in keys if "/probe-" not in key}


def failure(world, log: str) -> dict:
    """What a worker ended of."""
    [line] = [json.loads(line) for line in said(world, log).splitlines() if '"failed"' in line]
    return line


async def test_references_are_judged_over_tls_with_a_password_and_two_store_users(secured):
    """Verdicts, overlays, a dead letter after the retry topics, and the archive: with SCRAM-SHA-512, ACLs and S3 policies in force."""
    for number in range(6):
        secured.put(f"tls-{number}.png", picture(number))
    wanted = [native(f"tls-{number}", f"tls-{number}.png", want={"overlay": "always"}) for number in range(6)]
    before = written(secured)
    await secured.publish([*wanted, native("tls-never-there", "tls-never-there.png")])
    worker = secured.worker(log="password.log")
    count = await secured.wait_for_all(timeout_s=60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert count.missing == count.both == set()
    assert {f"tls-{number}" for number in range(6)} <= count.kinds("verdict")
    assert "tls-never-there" in count.kinds("dead letter")
    assert Counter(key.split("/")[0] for key in written(secured) - before) == {"overlays": 6, "outcomes": 7}
    said(secured, "password.log")


async def test_windows_are_published_by_a_drift_worker_of_its_own_user(secured):
    """It restores and writes its table, and reads and publishes, with the rights that are printed for it; it has no key to the store."""
    secured.put("window.png", picture(9))
    await secured.publish([native("window", "window.png")])
    worker, drift_worker = secured.worker(log="judge.log"), secured.drift_worker(log="drift.log")
    assert await secured.records_on("deeptrace.windows.v1", timeout_s=60) > 0
    for process in (worker, drift_worker):
        process.send_signal(signal.SIGTERM)
    assert [process.wait(30) for process in (worker, drift_worker)] == [0, 0]
    said(secured, "drift.log")


async def test_references_are_judged_over_mutual_tls(secured):
    """The certificate's name is the Kafka user, so the same ACLs hold."""
    secured.put("mutual.png", picture(7))
    await secured.publish([native("mutual", "mutual.png")])
    worker = secured.worker(log="certificate.log", **secured.mutual_tls)
    count = await secured.wait_for_all(timeout_s=60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert count.missing == set()
    assert "mutual" in count.kinds("verdict")
    said(secured, "certificate.log")


@pytest.mark.parametrize("right", [READ_IMAGES, WRITE_LETTERS, READ_GROUP])
async def test_a_worker_without_one_of_its_rights_does_not_start_and_names_it(secured, right):
    """Not at the first record that needs it, which may be the first dead letter next month."""
    operation, kind, name = right
    await revoke(secured.broker.address, f"User:{WORKER}", [right])
    try:
        worker = secured.worker(log=f"without-{operation}-{kind}.log")
        assert worker.wait(60) == 78
    finally:
        await grant(secured.broker.address, f"User:{WORKER}", [right])
    ended = failure(secured, f"without-{operation}-{kind}.log")
    assert (ended["code"], ended["why"]) == ("not_permitted", f"it lacks {operation} on {kind} {name}")
    assert "kafka-acls" in ended["remedy"]


@pytest.mark.parametrize("right", [WRITE_VERDICTS, READ_IMAGES])
async def test_a_right_taken_away_from_a_running_worker_ends_it_and_costs_no_reference(secured, right):
    """It is no fault of the reference: there is no dead letter, and the next worker publishes what is due."""
    operation, _, name = right
    log = f"taken-{operation}.log"
    secured.put("taken.png", picture(8))
    await secured.publish([native(f"before-{operation}", "taken.png")])
    worker = secured.worker(log=log)
    await secured.wait_for_all(timeout_s=60)
    await revoke(secured.broker.address, f"User:{WORKER}", [right])
    try:
        await secured.publish([native(f"after-{operation}-{number}", "taken.png") for number in range(4)])
        assert worker.wait(60) == 78
    finally:
        await grant(secured.broker.address, f"User:{WORKER}", [right])
    ended = failure(secured, log)
    assert ended["code"] == "not_permitted"
    assert name in ended["error"] + ended["why"]
    worker = secured.worker(log="given-back.log")
    count = await secured.wait_for_all(timeout_s=60)
    worker.kill()
    worker.wait()
    assert count.missing == count.both == set()
    assert {f"after-{operation}-{number}" for number in range(4)} <= count.kinds("verdict")
