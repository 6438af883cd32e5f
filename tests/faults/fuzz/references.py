"""Records as nobody should send them, through the real intake and pipeline: each must come to outcomes that can be published and settled."""

import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import numpy as np
from faults.fuzz.mutate import CANARY, spoil_bytes, spoil_json

from model.decode import from_array
from model.fake import FakeClassifier
from model.pixels import Pixels, cut
from schemas.bucket_event import is_notification
from schemas.dead_letter import MAX_MESSAGE_BYTES, DeadLetter
from schemas.image_ref import check_key
from schemas.incoming import Intake, Record, Reference
from schemas.retry import Retry
from schemas.settled import MAX_BYTES
from schemas.topics import IMAGES
from schemas.verdict import MAX_VERDICT_BYTES
from storage.memory import MemoryStore
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome, Postponed, postponed, stored_outcome
from streams.pipeline import Delivery, Pipeline
from streams.settings import Settings

BUCKET: Final = "deeptrace-images"
KEYS: Final = ("uploads/cat.jpg", "my cat/é.png", "a")
STORED: Final = b"12345"
AT_ONCE: Final = 64
SETTINGS: Final = Settings.model_validate({"pipeline": {"attempts": 1}, "kafka": {"retry_delays_s": []}})

_CE: Final = {"ce_id": b"e-1", "ce_source": b"/app", "ce_type": b"deeptrace.image.v1", "ce_specversion": b"1.0"}
_NATIVE: Final = {
    "schema": "deeptrace.image/1",
    "event_id": f"e-{CANARY}",
    "tenant": "acme",
    "image_id": f"post/{CANARY}",
    "object": {
        "bucket": BUCKET,
        "key": KEYS[0],
        "size_bytes": len(STORED),
        "content_type": "image/jpeg",
        "sha256": hashlib.sha256(STORED).hexdigest(),
    },
    "event_time": "2026-11-22T10:00:00.5+01:00",
    "want": {"overlay": "always"},
    "external_id": CANARY,
    "labels": {CANARY: CANARY},
}
_PINNED: Final = {**_NATIVE, "object": {"bucket": BUCKET, "key": KEYS[0], "version_id": CANARY, "etag": CANARY}}
_SMALL: Final = {"event_id": "e", "image_id": "i", "object": {"bucket": BUCKET, "key": KEYS[1]}}
_NOTE: Final = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "eventTime": "2026-11-22T10:00:00.000Z",
    "eventName": "ObjectCreated:Put",
    "userIdentity": {"principalId": CANARY},
    "s3": {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
        "object": {"key": "my+cat%2F%C3%A9.png", "size": 5, "eTag": "abc", "versionId": "null", "sequencer": "00A1"},
    },
}
_MINIO: Final = {"EventName": "s3:ObjectCreated:Put", "Key": f"{BUCKET}/a", "Records": [_NOTE]}
_SEEDS: Final = (
    *(_NATIVE, _NATIVE, _NATIVE, _PINNED, _SMALL, _SMALL, {"Records": [_NOTE]}, _MINIO, {"Records": [_NOTE] * 3}),
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET},
    {"Records": [{**_NOTE, "eventName": "ObjectRemoved:Delete"}]},
)
_SEED_BYTES: Final = tuple(json.dumps(seed).encode() for seed in _SEEDS)
_HEADER_VALUES: Final = (
    None,
    b"",
    b"\xff\xfe\x00",
    b"1.0",
    b"0.3",
    CANARY.encode(),
    b"x" * 70_000,
    b"2026-13-45T99:00Z",
    b"\r\n",
)
_HEADER_NAMES: Final = (
    *(*_CE, "ce_subject", "ce_time", "ce_datacontenttype", "ce_", f"ce_{CANARY}", f"ce_{CANARY.upper()}-!", "ce_data"),
    *("", "x", "traceparent", "dt-error-code", "dt-attempts", "dt-outcome-id", "dt-replay-of", "dt-not-before"),
    *("__connect.errors.topic", "__connect.errors.exception.message", "é", CANARY),
)
_OVERLAY_KEY: Final = re.compile(r"overlays/[0-9a-f]{2}/[0-9a-f]{40}\.webp")


def records(count: int, seed: int) -> Iterator[Record]:
    """Yield `count` spoiled records, the same for the same seed."""
    for offset in range(count):
        draw = random.Random(f"{seed}-{offset}")
        yield Record(
            topic=IMAGES,
            partition=offset % 8,
            offset=offset,
            key=draw.choice((None, b"", b"\xff\xfe", f"acme|{CANARY}".encode(), b"k" * 2000)),
            value=_value(draw),
            headers=_headers(draw),
            timestamp=datetime(2026, 11, 22, tzinfo=UTC),
        )


def _value(draw: random.Random) -> bytes | None:
    kind = draw.randrange(20)
    if kind < 11:
        return spoil_json(draw.choice(_SEEDS), draw)
    if kind < 17:
        return spoil_bytes(draw.choice(_SEED_BYTES), draw, others=_SEED_BYTES)
    if kind < 18:
        return spoil_bytes(spoil_json(draw.choice(_SEEDS), draw), draw, others=_SEED_BYTES)
    if kind < 19:
        return draw.choice(
            (
                None,
                b"",
                b"   ",
                b"null",
                b"[]",
                b'"x"',
                b"{}",
                b"[" * 50_000,
                b"\x01" * 250_000,
                b"\x01" * 300_000,
                b"{" + b" " * 70_000 + b"}",
            )
        )
    return draw.randbytes(draw.choice((1, 10, 200, 66_000)))


def _headers(draw: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    headers: list[tuple[str, bytes | None]] = list(_CE.items()) if draw.random() < 0.6 else []
    for _ in range(draw.choice((0, 0, 0, 1, 2, 5))):
        kind = draw.randrange(4)
        if kind == 0 and headers:
            del headers[draw.randrange(len(headers))]
        elif kind == 1 and headers:
            headers[draw.randrange(len(headers))] = (draw.choice(_HEADER_NAMES), draw.choice(_HEADER_VALUES))
        elif kind == 2 and headers:
            headers.append(draw.choice(headers))
        else:
            headers.insert(draw.randrange(len(headers) + 1), (draw.choice(_HEADER_NAMES), draw.choice(_HEADER_VALUES)))
    return tuple(headers)


class ConstantDecoder:
    """Sees the same small picture in whatever bytes: here it is the references that are spoiled."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).integers(
            0, 256, (40, 40, 3), dtype=np.uint8
        )  # of one colour it would not be judged
        self._pixels = cut(from_array(noise), seed=b"")

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:  # see the class
        """Return the picture."""
        return self._pixels


@dataclass
class Count:
    """What became of the records."""

    records: int = 0
    references: int = 0
    ignored: int = 0
    verdicts: int = 0
    overlays: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


async def run(count: int, seed: int, *, progress: Callable[[Count], None] = lambda _: None) -> Count:
    """Take `count` spoiled records through the pipeline; faults are told with the offset that makes them anew."""
    found = Count()
    store = MemoryStore({BUCKET, SETTINGS.store.overlay_bucket})
    for key in KEYS:
        store.put(BUCKET, key, STORED, content_type="image/jpeg", deadline_s=1)
    objects = Objects(store, SETTINGS.store)
    pipeline = Pipeline(
        SETTINGS, objects=objects, decoder=ConstantDecoder(), classifier=FakeClassifier(), metrics=WorkerMetrics()
    )
    intake = Intake(
        buckets=frozenset(SETTINGS.store.image_buckets),
        overlay_bucket=SETTINGS.store.overlay_bucket,
        overlay_prefix=SETTINGS.store.overlay_prefix,
        outcome_bucket=SETTINGS.store.outcome_bucket,
    )

    async def one(record: Record) -> None:
        try:
            await _follow(record, intake, pipeline, found)
        except Exception as error:  # noqa: BLE001  # any is a finding
            found.faults.append(f"offset {record.offset}: {type(error).__name__}: {error}"[:300])

    batch: list[Record] = []
    for record in records(count, seed):
        batch.append(record)
        if len(batch) == AT_ONCE or record.offset == count - 1:
            await asyncio.gather(*map(one, batch))
            found.records += len(batch)
            batch.clear()
            progress(found)
    await pipeline.close()
    for info in store.list(SETTINGS.store.overlay_bucket):
        found.overlays += 1
        if not _OVERLAY_KEY.fullmatch(info.key):
            found.faults.append(f"an object of ours has the key {info.key!r}")
    objects.close()
    return found


async def _follow(record: Record, intake: Intake, pipeline: Pipeline, count: Count) -> None:
    incoming = intake.read(record)
    again = intake.read(record)
    assert [one.outcome_id for one in incoming] == [one.outcome_id for one in again], "not one identity"
    outcomes = [outcome for outcome, _ in await pipeline.outcomes(Delivery(record))]
    assert len(outcomes) == len(incoming), "not one outcome a reference"
    if not incoming:
        assert is_notification(json.loads(record.value or b"")), "nothing came of what may be a reference"
        count.ignored += 1
    for one, outcome in zip(incoming, outcomes, strict=True):
        assert isinstance(outcome, Outcome), "put aside though there is no retry topic"
        assert outcome.outcome_id == one.outcome_id, "an outcome of another reference"
        _check_outcome(outcome, record)
        if isinstance(one, Reference):
            _check_place(one)
            _check_retry(one.outcome_id, record, outcome)
        count.references += 1
        if outcome.verdict is not None:
            count.verdicts += 1
        else:
            count.codes[outcome.code or ""] += 1


def _check_outcome(outcome: Outcome, record: Record) -> None:
    """It can be published and settled, and reads back as it was; a dead letter is the record, and says nothing of it."""
    assert re.fullmatch(r"[0-9a-f]{40}", outcome.outcome_id), "an id that is no hash"
    data = outcome.settled().to_bytes()
    assert len(data) <= MAX_BYTES, f"a settled outcome of {len(data)} bytes"
    stored = stored_outcome(data, outcome.outcome_id)
    assert (stored.topic, stored.key, stored.value, stored.headers) == (
        outcome.topic,
        outcome.key,
        outcome.value,
        outcome.headers,
    ), "it reads back as another record"
    assert stored.settled().to_bytes() == data, "settled twice it is not the same bytes"
    if outcome.verdict is not None:
        assert len(outcome.value or b"") <= MAX_VERDICT_BYTES, "a verdict over 8 KiB"
        return
    letter = DeadLetter.read(Record(outcome.topic, 0, 0, outcome.key, outcome.value, outcome.headers, record.timestamp))
    assert (letter.outcome_id, letter.code) == (outcome.outcome_id, outcome.code), "the headers say otherwise"
    assert len(letter.message.encode()) <= MAX_MESSAGE_BYTES + 8, "a long message"
    assert CANARY not in letter.message.lower(), f"the message repeats input: {letter.message}"
    assert outcome.error is not None
    assert CANARY not in f"{outcome.error!r} {outcome.error.why} {outcome.error.remedy}".lower(), (
        "the error repeats input"
    )


def _check_place(reference: Reference) -> None:
    """What will be asked of the store is a bucket on the list, and a path that is nothing but a path."""
    place = reference.ref.object
    assert place.bucket == BUCKET, "a bucket that is not on the list"
    check_key(place.key)
    path = quote(place.key, safe="/~")
    assert path.isascii(), "a path that is not ASCII"
    assert not {".", ".."} & set(path.split("/")), "a path that climbs"
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", path), "a path that ends"


def _check_retry(outcome_id: str, record: Record, outcome: Outcome) -> None:
    """Put aside, the record comes back as it was delivered."""
    if outcome.error is None:
        return
    moment = datetime(2026, 11, 22, 1, tzinfo=UTC)
    aside: Postponed = postponed(
        outcome_id, record, outcome.error, step=1, not_before=moment, attempts=3, first_seen=moment
    )
    retry = Retry.read(Record(aside.topic, 0, 9, aside.key, aside.value, aside.headers, moment))
    assert retry is not None, "a retry that cannot be read"
    assert (retry.outcome_id, retry.attempts, retry.not_before) == (outcome_id, 3, moment), "another retry"
    assert (retry.original.partition, retry.original.offset) == (record.partition, record.offset), "another place"
