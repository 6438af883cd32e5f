"""A record on a retry topic: the original record, untouched, with headers that say when it is due and where it came from.

What was once read off the images topic keeps its identity on its way through the retry topics: `original` gives back the record as it
was first delivered, so a verdict or dead letter names the place on the images topic.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schemas.cloud_event import Headers
from schemas.identity import OUTCOME_ID_LENGTH
from schemas.incoming import Record, kafka_time

NOT_BEFORE = "dt-not-before"
"""Milliseconds since 1970: the record is not tried before."""
ATTEMPTS = "dt-attempts"
"""Tries so far, over all topics."""
FIRST_SEEN = "dt-first-seen"
"""Milliseconds since 1970: when the first worker gave it up for now."""
RETRY_CODE = "dt-retry-code"
"""Error code of the last try."""
ONLY = "dt-outcome-id"
"""The one reference of the record that waits: a bucket notification may hold others, which have their outcome."""
ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, ORIGIN_TIME = (
    "dt-origin-topic",
    "dt-origin-partition",
    "dt-origin-offset",
    "dt-origin-timestamp",
)
OURS = frozenset(
    {NOT_BEFORE, ATTEMPTS, FIRST_SEEN, RETRY_CODE, ONLY, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, ORIGIN_TIME}
)


@dataclass(frozen=True, slots=True)
class Retry:
    """What the headers of a record on a retry topic say."""

    original: Record
    outcome_id: str
    not_before: datetime
    attempts: int
    first_seen: datetime

    @classmethod
    def read(cls, record: Record) -> "Retry | None":
        """Return the retry, or None where the headers are not those of one (somebody else wrote to the topic)."""
        said = {name: value or b"" for name, value in record.headers if name in OURS}
        try:
            original = replace(
                record,
                topic=said[ORIGIN_TOPIC].decode(),
                partition=int(said[ORIGIN_PARTITION]),
                offset=int(said[ORIGIN_OFFSET]),
                timestamp=kafka_time(int(said[ORIGIN_TIME]) / 1000),
                headers=tuple(header for header in record.headers if header[0] not in OURS),
            )
            return cls(
                original,
                _outcome_id(said[ONLY]),
                _moment(said[NOT_BEFORE]),
                int(said[ATTEMPTS]),
                _moment(said[FIRST_SEEN]),
            )
        except (KeyError, ValueError, OverflowError, OSError):
            return None


def retry_headers(
    original: Record, *, outcome_id: str, not_before: datetime, attempts: int, first_seen: datetime, code: str
) -> Headers:
    """Return the headers of `original` on a retry topic; its key and value go there as they are."""
    return (
        *(header for header in original.headers if header[0] not in OURS),
        (NOT_BEFORE, _millis(not_before)),
        (ATTEMPTS, str(attempts).encode()),
        (FIRST_SEEN, _millis(first_seen)),
        (RETRY_CODE, code.encode()),
        (ONLY, outcome_id.encode()),
        (ORIGIN_TOPIC, original.topic.encode()),
        (ORIGIN_PARTITION, str(original.partition).encode()),
        (ORIGIN_OFFSET, str(original.offset).encode()),
        (ORIGIN_TIME, _millis(original.timestamp)),
    )


def _outcome_id(said: bytes) -> str:
    outcome_id = said.decode()
    if re.fullmatch(f"[0-9a-f]{{{OUTCOME_ID_LENGTH}}}", outcome_id) is None:  # it names our objects: no other text may
        raise ValueError("not an outcome id")
    return outcome_id


def _millis(moment: datetime) -> bytes:
    return str(round(moment.timestamp() * 1000)).encode()


def _moment(millis: bytes) -> datetime:
    return datetime.fromtimestamp(int(millis) / 1000, UTC)
