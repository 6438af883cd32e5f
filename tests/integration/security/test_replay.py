"""Who replays history has a user of its own, with the rights that the documented commands print, and none besides."""

import json
import signal

import pytest
from support.kafka_admin import grant, revoke
from support.secure_world import DRIFT, REPLAYER
from support.world import native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITE = ("Write", "topic", "deeptrace.verdicts.replay.v1")


async def test_a_replay_runs_with_its_own_rights_at_the_broker_and_at_the_store(secured):
    """It reads verdicts and images, writes replayed verdicts and its report, and joins no group but its own."""
    keys = [f"history/{n}" for n in range(3)]
    for n, key in enumerate(keys):
        secured.put(key, picture(n))
    await secured.publish([native(f"history-{n}", key) for n, key in enumerate(keys)])
    worker = secured.worker()
    count = await secured.wait_for_all(timeout_s=60)
    assert count.missing == set()
    worker.send_signal(signal.SIGTERM)
    worker.wait(40)
    done = secured.run("replay", "history", "--prefix", "history/", "--rate", "max", "--json", **secured.replayer)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["replayed"], report["failed"], report["complete"]) == (3, {}, True)
    stored = secured.store.get(DRIFT, "replays/history.json", max_bytes=1 << 20, deadline_s=5).data
    assert json.loads(stored)["replayed"] == 3
    wrong = secured.run(
        "replay", "else", "--all", **secured.replayer, DEEPTRACE_KAFKA__REPLAY_GROUP="deeptrace-scoring"
    )
    assert (wrong.returncode, "Read on group deeptrace-scoring-else" in wrong.stderr) == (78, True), wrong.stderr


async def test_without_a_right_it_does_not_begin_and_names_it(secured):
    """As every worker."""
    await revoke(secured.broker.address, f"User:{REPLAYER}", [WRITE])
    try:
        done = secured.run("replay", "denied", "--all", **secured.replayer)
    finally:
        await grant(secured.broker.address, f"User:{REPLAYER}", [WRITE])
    assert (done.returncode, "Write on topic deeptrace.verdicts.replay.v1" in done.stderr) == (78, True), done.stderr
