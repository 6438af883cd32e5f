"""References and outcomes written by hand, through the schemas alone: what an audit is shown, right or with one thing wrong."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.dead_letter import dead_letter_headers
from schemas.errors import ObjectNotFound
from schemas.identity import outcome_id
from schemas.incoming import Intake, Record, kafka_time
from schemas.settled import SettledOutcome, object_key
from schemas.topics import record_key
from schemas.verdict import Verdict
from streams.audit.archive import Listed

MOMENT = kafka_time(1_795_000_000)
BUCKET = "deeptrace-images"
INTAKE = Intake(frozenset({BUCKET}), "deeptrace-overlays", "overlays/", "deeptrace-outcomes")


def reference(name: str, partition: int = 0, offset: int = 0, *, bucket: str = BUCKET) -> Record:
    """Return a native reference with CloudEvents headers, as it lies on the images topic."""
    body = {"event_id": name, "image_id": name, "object": {"bucket": bucket, "key": f"{name}.png"}}
    headers = write_headers(event_id=name, source="/test", event_type="deeptrace.image.v1", subject=name, time=MOMENT)
    value = json.dumps(body).encode()
    return Record(topics.IMAGES, partition, offset, record_key("default", name), value, headers, MOMENT)


def notification(*keys: str, partition: int = 0, offset: int = 0, event: str = "s3:ObjectCreated:Put") -> Record:
    """Return a bucket notification about `keys`."""
    records = [{"eventName": event, "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}} for key in keys]
    value = json.dumps({"Records": records}).encode()
    return Record(topics.IMAGES, partition, offset, b"key", value, (), MOMENT)


def id_of(name: str) -> str:
    """Return the outcome id of `reference(name)`."""
    return outcome_id("ce", "/test", name)


def verdict_of(source: Record, name: str, /, **changes: object) -> Record:
    """Return the verdict on a reference, as it is published; `changes` are fields of its body."""
    place = {"topic": source.topic, "partition": source.partition, "offset": source.offset, "format": "native"}
    body = {
        "outcome_id": id_of(name),
        "image_id": name,
        "tenant": "default",
        "event_id": name,
        "object": {
            "bucket": BUCKET,
            "key": f"{name}.png",
            "sha256": "0" * 64,
            "size_bytes": 1,
            "format": "PNG",
            "width": 9,
            "height": 9,
        },
        "verdict": "ai_generated",
        "predicted_source": "flux",
        "confidence": 0.9,
        "is_ai_generated": True,
        "p_ai": 0.9,
        "per_class_probs": {"real": 0.1, "flux": 0.9},
        "explanation": {"status": "skipped"},
        "model": {
            "version": "1",
            "sha256": "0" * 64,
            "kind": "fake",
            "training_data": "none",
            "calibration_id": "none",
            "preprocess_id": "p",
            "classes": ["real", "flux"],
        },
        "source": place,
        "timing": {
            **dict.fromkeys(("queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms"), 1.5),
            "batch_size": 1,
        },
        **changes,
    }
    headers = write_headers(
        event_id=str(body["outcome_id"]),
        source="/deeptrace/scoring",
        event_type="deeptrace.verdict.v1",
        subject=str(body["outcome_id"]),
        time=MOMENT,
    )
    value = Verdict.model_validate(body).to_bytes()
    return Record(topics.VERDICTS, source.partition, 0, source.key, value, headers, MOMENT)


def letter_of(source: Record, identity: str) -> Record:
    """Return the dead letter of a record, under an outcome id."""
    headers = dead_letter_headers(source, ObjectNotFound("gone"), outcome_id=identity, stage="fetch", attempts=4)
    return Record(topics.DEAD_LETTERS, source.partition, 0, source.key, source.value, headers, MOMENT)


def settled(record: Record, identity: str) -> bytes:
    """Return what is stored for an outcome."""
    return SettledOutcome(
        outcome_id=identity,
        kind="verdict" if record.topic == topics.VERDICTS else "dead_letter",
        topic=record.topic,
        key=record.key,
        value=record.value,
        headers=record.headers,
    ).to_bytes()


def altered(record: Record) -> Record:
    """Return the same outcome with another time in its headers."""
    assert any(name == "ce_time" for name, _ in record.headers)
    return replace(
        record,
        headers=tuple(
            (name, b"2026-11-22T10:00:00Z" if name == "ce_time" else value) for name, value in record.headers
        ),
    )


@dataclass
class MemoryArchive:
    """The stored outcomes, as a store with honest MD5 ETags shows them; `read_ids` remembers whose bytes were asked for."""

    objects: dict[str, bytes] = field(default_factory=dict)
    etags: bool = True
    read_ids: list[str] = field(default_factory=list)

    def put(self, identity: str, data: bytes) -> None:
        self.objects[object_key(identity)] = data

    def listed(self, expected: int) -> Iterator[Listed]:
        for key, data in self.objects.items():
            raw = bytes.fromhex(key.removeprefix("outcomes/").removesuffix(".json"))
            yield Listed(raw, hashlib.md5(data).digest() if self.etags else None)

    def read(self, ids: Iterator[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        for raw in ids:
            self.read_ids.append(raw.hex())
            yield raw, self.objects.get(object_key(raw.hex()))
