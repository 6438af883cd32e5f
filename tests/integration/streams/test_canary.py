"""What a worker writes down, on its worst day, holds nothing of what it was given: no key, no name, no EXIF, no text, no secret."""

import asyncio
import io
import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from faults.harness.http_proxy import Conduct, HttpProxy
from PIL import Image, PngImagePlugin
from support.world import BUCKET, LETTERS, World, ce, native, picture

from schemas.dead_letter import DeadLetter
from schemas.incoming import Record
from streams.settings_sources import load
from streams.stack.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KINDS = (
    *("key", "image", "event", "source", "tenant", "external", "label", "labelname", "header", "headername"),
    *("camera", "gps", "comment", "xmp", "text", "profile", "content", "value", "recordkey", "version", "etag", "url"),
)
CANARY = {kind: f"cnry{kind}{secrets.token_hex(4)}" for kind in KINDS}


CODES = {
    *("object_denied", "object_not_found", "object_empty", "object_changed", "bucket_forbidden", "key_forbidden"),
    *("image_truncated", "image_is_svg", "image_corrupt", "not_an_image", "message_not_json", "message_invalid"),
    "schema_version_unknown",
}


class DenyingProxy(HttpProxy):
    """Refuses as S3 does: with the key in the text of its answer."""

    def _refusal(self, method: str) -> bytes:
        body = f"<Error><Code>AccessDenied</Code><Key>{CANARY['key']}/denied</Key></Error>".encode()
        body = b"" if method == "HEAD" else body
        return f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def photograph() -> bytes:
    """A JPEG that tells who took it, with what, and where."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x8298] = (CANARY["camera"],) * 3
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0), 29: CANARY["gps"]}
    out = io.BytesIO()
    Image.open(io.BytesIO(picture(1))).save(
        out, "JPEG", exif=exif.tobytes(), comment=CANARY["comment"].encode(), xmp=f"<x>{CANARY['xmp']}</x>".encode()
    )
    return out.getvalue()


def drawing() -> bytes:
    """A PNG with texts, and a profile that is none."""
    text = PngImagePlugin.PngInfo()
    text.add_text(CANARY["text"], CANARY["text"])
    text.add_itxt("Comment", CANARY["text"], zip=True)
    out = io.BytesIO()
    profile = CANARY["profile"].encode()
    Image.open(io.BytesIO(picture(2))).save(out, "PNG", pnginfo=text, icc_profile=profile)
    return out.getvalue()


def reference(name: str, key: str, **place: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A reference in which everything that a producer writes is a canary."""
    value, _ = native(
        f"{CANARY['event']}-{name}",
        key,
        tenant=CANARY["tenant"],
        image_id=f"{CANARY['image']}-{name}",
        external_id=CANARY["external"],
        labels={CANARY["labelname"]: CANARY["label"]},
        object={"bucket": BUCKET, "key": key, **place},
        want={"overlay": "always"},
        url=CANARY["url"],
    )
    headers = [(n, v.replace(b"/test", f"/{CANARY['source']}".encode())) for n, v in ce(f"{CANARY['event']}-{name}")]
    return value, [*headers, (CANARY["headername"], CANARY["header"].encode())]


def records(world: World) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Upload one object of every class and return a reference to each, and every class of message that is none."""
    files = {
        "photo": photograph(),
        "drawing": drawing(),
        "cut": photograph()[:100],
        "half": photograph()[:-900],
        "text": CANARY["content"].encode() * 20,
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><text>{CANARY["content"]}</text></svg>'.encode(),
        "broken": drawing()[:9000] + CANARY["content"].encode() + drawing()[9000 + len(CANARY["content"]) :],
        "empty": b"",
        "denied": picture(3),
        "late": picture(4),
    }
    for name, data in files.items():
        world.put(f"{CANARY['key']}/{name}", data)
    garbage = f'{{"event_id": "{CANARY["value"]}", "object": {{"bucket": "{CANARY["value"]}"'.encode()
    note = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": {"key": CANARY["key"]}}}
    return [
        *(reference(name, f"{CANARY['key']}/{name}") for name in files),
        reference("missing", f"{CANARY['key']}/missing"),
        reference("climbing", f"../{CANARY['key']}"),
        reference("version", f"{CANARY['key']}/photo", version_id=CANARY["version"]),
        reference("etag", f"{CANARY['key']}/photo", etag=CANARY["etag"]),
        reference("bucket", "a", bucket=CANARY["key"]),
        (garbage, ce(CANARY["event"])),
        (garbage + b'": 1}}', [("ce_id", CANARY["event"].encode()), (f"ce_{CANARY['headername']}!", b"x")]),
        (json.dumps({"schema": CANARY["value"]}).encode(), []),
        (json.dumps({"event_id": CANARY["value"], "want": {"overlay": CANARY["value"]}}).encode(), []),
        (json.dumps({"Records": [note, {"s3": CANARY["value"]}]}).encode(), []),
    ]


@contextmanager
def denying(world: World) -> Iterator[DenyingProxy]:
    proxy = DenyingProxy(int(world.info.s3_endpoint.rsplit(":", 1)[1]))
    proxy.conduct = Conduct(share=1.0, lies=("refuse",), path=f"/{BUCKET}/{CANARY['key']}/denied")
    try:
        yield proxy
    finally:
        proxy.close()


async def letters(world: World) -> list[DeadLetter]:
    """Return all dead letters."""
    consumer = AIOKafkaConsumer(LETTERS, bootstrap_servers=world.info.bootstrap_servers, auto_offset_reset="earliest")
    found = []
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += [
                    DeadLetter.read(Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)))
                    for r in batch
                ]
    return found


async def letters_with(world: World, codes: set[str], timeout_s: float) -> list[DeadLetter]:
    """Wait until there are dead letters with all these codes, and return them."""
    deadline = time.monotonic() + timeout_s
    while missing := codes - {letter.code for letter in await letters(world)}:
        assert time.monotonic() < deadline, f"no dead letters with {missing}"
        await asyncio.sleep(0.5)
    return await letters(world)


async def test_no_log_line_and_no_metric_holds_a_key_a_name_a_text_or_a_secret(world, http):
    """Good input and every class of bad, retries, denials, an outage, an abort, wrong credentials, SIGTERM: at level debug, in both formats."""
    port = str(free_ports(1)[0])
    settings = {
        "DEEPTRACE_LOG__LEVEL": "debug",
        "DEEPTRACE_KAFKA__RETRY_DELAYS_S": "[0.5]",
        "DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02",
        "DEEPTRACE_PIPELINE__DEPENDENCY_WAIT_S": "0.5",
        "DEEPTRACE_STORE__READ_TIMEOUT_S": "1",
        "DEEPTRACE_HTTP__PORT": port,
    }
    assert (await asyncio.to_thread(world.run, "topics", "apply", **settings)).returncode == 0
    sent = records(world)
    pages: list[bytes] = []

    async def look(path: str) -> None:
        pages.append((await asyncio.to_thread(http, f"http://127.0.0.1:{port}{path}"))[1])

    with denying(world) as proxy:
        settings["DEEPTRACE_STORE__ENDPOINT"] = f"127.0.0.1:{proxy.port}"
        poison = f"after_judge=abort~{CANARY['image']}-late"
        dying = world.worker(**settings, DEEPTRACE_LOG__FORMAT="json", DEEPTRACE_FAULTS__FAILPOINTS=poison)
        await world.publish(sent)
        assert await asyncio.to_thread(dying.wait, 120) == -signal.SIGABRT
        worker = world.worker(**settings, DEEPTRACE_LOG__FORMAT="console")
        before = await letters_with(world, CODES, timeout_s=120)
        await look("/metrics")
        world.signal_store(signal.SIGSTOP)
        await world.publish([reference("outage", f"{CANARY['key']}/photo")])
        for _ in range(3):
            await look("/readyz")
        world.signal_store(signal.SIGCONT)
        await world.settled(quiet_s=2, timeout_s=60)
        await look("/metrics")
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 60) == 0
    wrong = {
        "DEEPTRACE_STORE__ACCESS_KEY": f"cnryaccess{secrets.token_hex(8)}",
        "DEEPTRACE_STORE__SECRET_KEY": f"cnrysecret{secrets.token_hex(8)}",
        "DEEPTRACE_LOG__FORMAT": "json",
    }
    refused = await asyncio.to_thread(world.run, "worker", **{**settings, **world.env, **wrong}, timeout_s=90)
    assert refused.returncode != 0

    logs = (
        b"".join(path.read_bytes() for path in world.folder.glob("*.log")) + (refused.stderr + refused.stdout).encode()
    )
    forbidden = {
        **CANARY,
        "secret key": world.info.s3_secret_key,
        "wrong access key": wrong["DEEPTRACE_STORE__ACCESS_KEY"],
        "wrong secret": wrong["DEEPTRACE_STORE__SECRET_KEY"],
    }
    assert {kind for kind, word in forbidden.items() if word.encode() in logs} == set()
    assert {kind for kind, word in forbidden.items() if any(word.encode() in page for page in pages)} == set()
    assert logs.count(b"dead letter") >= 10  # the log was not simply silent
    assert any(b"deeptrace_dead_letters_total" in page for page in pages)

    said = await letters(world)
    assert len(said) >= len(before)
    assert {kind for kind, word in forbidden.items() if any(word in letter.message for letter in said)} == set()


def test_settings_and_stores_do_not_show_their_secrets(world):
    """In no representation, JSON and errors included."""
    settings = load(world.env).settings
    shown = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(world.store),
        str(world.store),
        f"{settings.store}",
    ]
    shown.append(world.run("config", "show").stdout + world.run("config", "show", "--json").stdout)
    broken = world.run("worker", DEEPTRACE_STORE__SECRET_KEY="", DEEPTRACE_STORE__ACESS_KEY=CANARY["value"])
    shown.append(broken.stderr + broken.stdout)
    assert broken.returncode == 78
    for secret in (world.info.s3_secret_key, CANARY["value"]):
        assert [text for text in shown if secret in text] == []
