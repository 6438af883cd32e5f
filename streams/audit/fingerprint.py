"""Sixteen bytes that stand for a record: equal records have equal ones, and one bit of difference shows."""

import hashlib

from schemas.incoming import Record
from schemas.settled import Kind, SettledOutcome

BYTES = 16
ID_BYTES = 20
_NULL = b"\xff" * 8  # no part is that long


def fingerprint(record: Record) -> bytes:
    """Return the hash of topic, key, value and headers; where a record lies is not part of it."""
    return hashlib.blake2b(b"".join(_framed(record)), digest_size=BYTES).digest()


def stored_md5(record: Record, outcome_id: str, kind: Kind) -> bytes:
    """Return the MD5 that a store shows as the ETag of this outcome, if it was settled with exactly these bytes."""
    settled = SettledOutcome(
        outcome_id=outcome_id,
        kind=kind,
        topic=record.topic,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
    return hashlib.md5(settled.to_bytes(), usedforsecurity=False).digest()


def raw_id(text: str | bytes | None) -> bytes | None:
    """Return the 20 bytes of an outcome id, or None where it is none."""
    try:
        said = text.decode("ascii") if isinstance(text, bytes) else text or ""
        raw = bytes.fromhex(said)
    except ValueError:
        return None
    return raw if len(raw) == ID_BYTES and raw.hex() == said else None


def _framed(record: Record) -> list[bytes]:
    """Return the parts, each with its length before it, so that no two records have equal bytes."""
    parts: list[bytes] = []
    for part in (record.topic.encode(), record.key, record.value):
        parts += (_NULL,) if part is None else (len(part).to_bytes(8, "big"), part)
    for name, value in record.headers:
        title = name.encode(errors="surrogatepass")
        parts += (len(title).to_bytes(8, "big"), title)
        parts += (_NULL,) if value is None else (len(value).to_bytes(8, "big"), value)
    return parts
