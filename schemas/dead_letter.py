"""A dead letter is the original record, untouched, with headers that say where it came from and why it was refused.

The header names under `__connect.errors.` are Kafka Connect's (KIP-298), so existing tools read them.
"""

import hashlib
from dataclasses import dataclass, replace

from schemas.cloud_event import Headers
from schemas.errors import DeepTraceError
from schemas.incoming import Record

CONNECT = "__connect.errors."
OUTCOME_ID = "dt-outcome-id"
ERROR_CODE = "dt-error-code"
ATTEMPTS = "dt-attempts"
REPLAY_OF = "dt-replay-of"
"""On the images topic: the outcome id of the dead letter that `deeptrace dlq replay` sent again. It is no header of a dead letter."""
MAX_MESSAGE_BYTES = 512

ORIGINAL_BYTES = "dt-original-bytes"
ORIGINAL_SHA256 = "dt-original-sha256"
WHOLE_BYTES = 256 * 1024
"""A record up to this size is kept whole; one that was larger (compressed on its way in) is cut, and its size and hash are kept."""
CUT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a consumer of the dead letter topic can say about one record."""

    outcome_id: str
    code: str
    attempts: int
    topic: str
    partition: int
    offset: int
    stage: str
    message: str
    key: bytes | None
    value: bytes | None
    original_headers: Headers

    @classmethod
    def read(cls, record: Record) -> "DeadLetter":
        """Read a record of the dead letter topic; absent headers become empty or zero, never an error."""
        ours = {name: (value or b"").decode(errors="replace") for name, value in record.headers if _is_ours(name)}
        return cls(
            outcome_id=ours.get(OUTCOME_ID, ""),
            code=ours.get(ERROR_CODE, ""),
            attempts=_integer(ours.get(ATTEMPTS)),
            topic=ours.get(f"{CONNECT}topic", ""),
            partition=_integer(ours.get(f"{CONNECT}partition")),
            offset=_integer(ours.get(f"{CONNECT}offset")),
            stage=ours.get(f"{CONNECT}stage", ""),
            message=ours.get(f"{CONNECT}exception.message", ""),
            key=record.key,
            value=record.value,
            original_headers=tuple(header for header in record.headers if not _is_ours(header[0])),
        )


def fit(record: Record) -> Record:
    """Return `record` as it can be published: itself, or with a value, key and headers that fit, and headers that say so.

    A compressed batch may hold records larger than the topic's limit; re-sending one as it was would fail for ever.
    """
    value, headers = record.value or b"", sum(len(name) + len(content or b"") for name, content in record.headers)
    if len(value) + len(record.key or b"") + headers <= WHOLE_BYTES:
        return record
    kept = record.headers if headers <= CUT_BYTES else ()
    said = ((ORIGINAL_BYTES, str(len(value)).encode()), (ORIGINAL_SHA256, hashlib.sha256(value).hexdigest().encode()))
    key = record.key if len(record.key or b"") <= CUT_BYTES else None
    return replace(record, key=key, value=value[:CUT_BYTES], headers=(*kept, *said))


def dead_letter_headers(
    record: Record, error: DeepTraceError, *, outcome_id: str, stage: str, attempts: int
) -> Headers:
    """Return the original headers followed by ours. The message is ours too: it never repeats input."""
    message = str(error).encode()[:MAX_MESSAGE_BYTES]
    origin = type(error.__cause__ or error)
    return (
        *(header for header in record.headers if not _is_ours(header[0])),
        (f"{CONNECT}topic", record.topic.encode()),
        (f"{CONNECT}partition", str(record.partition).encode()),
        (f"{CONNECT}offset", str(record.offset).encode()),
        (f"{CONNECT}stage", stage.encode()),
        (f"{CONNECT}class.name", f"{origin.__module__}.{origin.__qualname__}".encode()),
        (f"{CONNECT}exception.class.name", f"{type(error).__module__}.{type(error).__qualname__}".encode()),
        (f"{CONNECT}exception.message", message),
        (ERROR_CODE, error.code.encode()),
        (ATTEMPTS, str(attempts).encode()),
        (OUTCOME_ID, outcome_id.encode()),
    )


def _is_ours(name: str) -> bool:
    return name.startswith(CONNECT) or name in {OUTCOME_ID, ERROR_CODE, ATTEMPTS}


def _integer(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
