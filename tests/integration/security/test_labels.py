"""Labels in a drift worker with users of its own at broker and store: joined with the rights that are printed, and waiting without them."""

import asyncio
import re
import signal
from datetime import UTC, datetime

import pytest
import urllib3
from aiokafka import AIOKafkaProducer
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin
from support.kafka_admin import grant, revoke, rights_in
from support.labels import label
from support.secure_world import CANARY, DRIFT_WORKER, OUTCOMES
from support.verdicts import verdict

from schemas.incoming import Record
from schemas.label import Labelled
from schemas.settled import object_key
from schemas.topics import record_key
from streams.outcomes import verdict_outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LABELS, LABELLED = "deeptrace.labels.v1", "deeptrace.labelled.v1"
STORE_USER, SECRET = "drift-watcher", f"{CANARY}-drift"
PATIENCE_S = 60
ENV = {
    "DEEPTRACE_KAFKA__SASL_USERNAME": DRIFT_WORKER,
    "DEEPTRACE_KAFKA__INSTANCE_ID": "drift-0",
    "DEEPTRACE_STORE__ACCESS_KEY": STORE_USER,
    "DEEPTRACE_STORE__SECRET_KEY": SECRET,
    "DEEPTRACE_STORE__WRITE_ACCESS_KEY": "",
    "DEEPTRACE_STORE__WRITE_SECRET_KEY": "",
    "DEEPTRACE_HTTP__DRIFT_PORT": "0",
    "DEEPTRACE_OPS__ENABLED": "false",
    "DEEPTRACE_LOG__FORMAT": "json",
}


@pytest.fixture
def watcher(secured):
    """A store user with what `deeptrace storage policies drift` prints, and one settled verdict."""
    admin = MinioAdmin(
        endpoint=secured.minio.address,
        credentials=StaticProvider(secured.minio.access_key, secured.minio.secret_key),
        http_client=urllib3.PoolManager(ca_certs=str(secured.authority.certificate), timeout=10),
    )
    policy = secured.folder / "drift-policy.json"
    policy.write_text(secured.run("storage", "policies", "drift").stdout)
    admin.user_add(STORE_USER, SECRET)
    admin.policy_add("drift-policy", policy_file=str(policy))
    admin.attach_policy(["drift-policy"], user=STORE_USER)
    record = Record("deeptrace.images.v1", 0, 1, b"k", b"{}", (), datetime.now(UTC))
    outcome = verdict_outcome(verdict(), record)
    key = object_key(outcome.outcome_id)
    secured.store.put(OUTCOMES, key, outcome.settled().to_bytes(), content_type="application/json", deadline_s=10)
    yield secured
    secured.store.delete(OUTCOMES, key)
    admin.user_remove(STORE_USER)


async def until(log, wanted, worker):
    """Return the log once it holds what is wanted."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + PATIENCE_S
    while not re.search(wanted, text := log.read_text()):
        assert loop.time() < ends_at, text[-4000:]
        assert worker.poll() is None, text[-4000:]
        await asyncio.sleep(0.2)
    return text


async def stopped(worker):
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 30) == 0


async def test_labels_wait_for_their_rights_and_the_windows_do_not(watcher, http):
    """Without them the worker is ready and says what is missing; with those that are printed for it the label is joined."""
    one = label(labelled_at=datetime.now(UTC))
    async with AIOKafkaProducer(bootstrap_servers=watcher.broker.address) as producer:
        await producer.send_and_wait(LABELS, one.to_bytes(), key=record_key(one.tenant, one.image_id))
    command = ("-m", "streams.cli", "drift-worker")

    worker = watcher.start(*command, log="waiting.log", **ENV)
    text = await until(
        watcher.folder / "waiting.log", "it lacks Read on topic deeptrace.labels.v1.*labels wait", worker
    )
    port = re.findall(r'"port": (\d+)', text)[-1]
    assert http(f"http://127.0.0.1:{port}/livez")[0] == 200
    await stopped(worker)

    printed = watcher.run("topics", "acls", "drift", "--principal", f"User:{DRIFT_WORKER}", **ENV).stdout
    rights = [right for right in rights_in(printed.splitlines()) if "label" in right[2]]
    assert sorted(rights) == [
        ("Read", "group", "deeptrace-drift-labels"),
        ("Read", "topic", LABELLED),
        ("Read", "topic", LABELS),
        ("Write", "topic", LABELLED),
    ]
    await grant(watcher.broker.address, f"User:{DRIFT_WORKER}", rights)
    try:
        worker = watcher.start(*command, log="joining.log", **ENV)
        await until(watcher.folder / "joining.log", "labels are joined", worker)
        assert await watcher.records_on(LABELLED, timeout_s=PATIENCE_S) == 1
        await stopped(worker)
        [joined] = await watcher.records(LABELLED)
        assert Labelled.from_bytes(joined.value).label.to_bytes() == one.to_bytes()
    finally:
        await revoke(watcher.broker.address, f"User:{DRIFT_WORKER}", rights)
    assert CANARY not in (watcher.folder / "waiting.log").read_text() + (watcher.folder / "joining.log").read_text()
