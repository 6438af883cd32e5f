"""An audit needs rights of its own: it reads what a worker only writes, over the same TLS, with the user of the outcomes."""

import json

import pytest
from support.kafka_admin import grant, revoke
from support.secure_world import WORKER
from support.world import native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AUDITORS = [("Read", "topic", "deeptrace.verdicts.v1"), ("Read", "topic", "deeptrace.images.v1.dlq")]


@pytest.fixture
async def auditor(secured):
    """The worker's user, who may read the outcomes for the time of one test."""
    await grant(secured.broker.address, f"User:{WORKER}", AUDITORS)
    yield
    await revoke(secured.broker.address, f"User:{WORKER}", AUDITORS)


async def judged(secured, name):
    """Have one reference judged, and end the worker."""
    secured.put(f"{name}.png", picture(1))
    await secured.publish([native(name, f"{name}.png")])
    worker = secured.worker(log=f"{name}.log")
    count = await secured.wait_for_all(timeout_s=60)
    worker.terminate()
    assert worker.wait(30) == 0
    assert name in count.kinds("verdict")


async def test_an_audit_runs_over_tls_with_the_user_of_the_outcomes(secured, auditor):
    """Topics over SASL_SSL, the archive over TLS with a CA of its own and the second store user; every body is read."""
    await judged(secured, "audited")
    done = secured.run("audit", "--json", "--complete", "--deep")
    report = json.loads(done.stdout)
    assert (done.returncode, report["failed"], report["whole"]) == (0, [], True), done.stderr
    assert report["stored"] == report["accepted"] >= 1


async def test_who_may_not_read_the_outcomes_is_told_so(secured):
    """A worker's own user may write verdicts and not read them: no audit, and never a good one."""
    await judged(secured, "unseen")
    done = secured.run("audit", "--json")
    assert (done.returncode, done.stdout) == (78, "")
    assert "describe the group deeptrace-scoring" in done.stderr
    assert "Traceback" not in done.stderr


async def test_who_may_not_see_the_group_is_told_so(secured, auditor):
    """Without its commits everything would look pending, which must not pass for an answer."""
    done = secured.run("audit", "--json", DEEPTRACE_KAFKA__GROUP="another-group")
    assert (done.returncode, done.stdout) == (78, "")
    assert "describe the group another-group" in done.stderr
