"""One outcome for each reference on a real store, though two workers decide; and no pretence where the store cannot settle."""

import asyncio
import base64
import http.client
import json
import signal
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.world import BUCKET, LETTERS, VERDICTS, native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OUTCOMES = "deeptrace-outcomes"
SESSION_S = 6
REFERENCES = 900
QUICK = {"DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S), "DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02"}


def by_outcome(records):
    """Return what lies on the outcome topics for each outcome id, each record as topic, key, value and headers."""
    found = defaultdict(list)
    for record in records:
        headers = dict(record.headers)
        outcome_id = headers["ce_id"] if record.topic == VERDICTS else headers["dt-outcome-id"]
        found[outcome_id.decode()].append((record.topic, record.key, record.value, tuple(record.headers)))
    return found


def in_store(world, outcome_id):
    """Return a settled outcome as topic, key, value and headers, read without our own code."""

    def raw(value):
        if isinstance(value, dict):
            return base64.b64decode(value["base64"])
        return None if value is None else value.encode()

    data = world.store.get(OUTCOMES, f"outcomes/{outcome_id}.json", max_bytes=1 << 21, deadline_s=5).data
    body = json.loads(data)
    headers = tuple((name, raw(value)) for name, value in body["headers"])
    return body["topic"], raw(body.get("key")), raw(body.get("value")), headers


async def test_a_zombie_and_its_successor_publish_the_same(world):
    """SIGSTOP in mid-run for longer than the session, another takes over, CONT: no reference has two outcomes."""
    for n in range(20):
        world.put(f"picture-{n}", picture(n))
    # Each hundredth object is there for the first worker only: what one judges, the other would refuse.
    keys = [f"picture-{n % 20}" if n % 10 else f"fleeting-{n}" for n in range(REFERENCES)]
    for key in keys:
        if key.startswith("fleeting"):
            world.put(key, picture(99))
    await world.publish([native(f"event-{n}", key) for n, key in enumerate(keys)])
    zombie = world.worker("slot-0", **QUICK)
    await world.wait_for_outcomes(REFERENCES // 4, timeout_s=120)
    zombie.send_signal(signal.SIGSTOP)
    for key in keys:
        if key.startswith("fleeting"):
            world.store.delete(BUCKET, key)
    successor = world.worker("slot-1", log="successor.log", **QUICK)
    count = await world.wait_for_all(120)
    assert count.missing == set()
    zombie.send_signal(signal.SIGCONT)
    await world.settled(quiet_s=4, timeout_s=20)
    for worker in (zombie, successor):
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 40) in {0, 70}

    outcomes = by_outcome(await world.records(VERDICTS, LETTERS))
    assert len(outcomes) == REFERENCES
    assert [outcome for outcome, published in outcomes.items() if len(set(published)) > 1] == []
    for outcome_id, [published, *_] in list(outcomes.items())[::9]:
        assert in_store(world, outcome_id) == published
    repeats = sum(map(len, outcomes.values())) - REFERENCES
    print(f"repeats of a zombie and its successor: {repeats}, all identical")


async def test_at_least_once_makes_no_object(world):
    """Who drops repeats downstream pays no request for settling."""
    world.put("good", picture(1))
    await world.publish([*(native(f"event-{n}", "good") for n in range(20)), native("bad", "absent")])
    worker = world.worker(DEEPTRACE_PIPELINE__OUTCOMES="at_least_once", **QUICK)
    count = await world.wait_for_all(90)
    assert count.missing == set()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 40) == 0
    assert list(world.store.list(OUTCOMES)) == []


@contextmanager
def without_conditions(world):
    """A server that ignores `If-None-Match`, as S3Proxy 2.6 does: requests go through as they are, but for that of such a put."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "If-None-Match" not in self.headers:
                self.forward(body)
                return
            _, bucket, key = self.path.split("/", 2)
            info = world.store.put(bucket, key, body, content_type="text/plain", deadline_s=10)
            self.send_response(200)
            self.send_header("ETag", f'"{info.etag}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            self.forward()

        def do_HEAD(self):
            self.forward()

        def do_DELETE(self):
            self.forward()

        def forward(self, body=b""):
            server = http.client.HTTPConnection(world.info.s3_endpoint, timeout=10)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)
            server.close()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_where_the_store_lets_everybody_win_the_worker_refuses_to_start(world):
    """Exit 78 with the setting that goes without; with that setting it works on the same store."""
    world.put("good", picture(1))
    await world.publish([native("event", "good")])
    with without_conditions(world) as endpoint:
        refused = await asyncio.to_thread(world.run, "worker", DEEPTRACE_STORE__ENDPOINT=endpoint)
        assert refused.returncode == 78, refused.stderr
        assert "conditional put" in refused.stderr
        assert "DEEPTRACE_PIPELINE__OUTCOMES=at_least_once" in refused.stderr
        worker = world.worker(DEEPTRACE_STORE__ENDPOINT=endpoint, DEEPTRACE_PIPELINE__OUTCOMES="at_least_once")
        count = await world.wait_for_all(90)
        assert count.kinds("verdict") == {"event"}
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 40) == 0
