"""A settled outcome: the one record that is published for a reference, word for word, as it lies in the object store.

`outcomes/<outcome_id>.json` is written once, by a conditional put; whoever comes later publishes what is stored. It is canonical JSON
(sorted keys), so it is the verdict archive as well.
"""

import base64
import binascii
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from schemas.base import Message

SCHEMA: Final = "deeptrace.outcome/1"
PREFIX: Final = "outcomes/"
CONTENT_TYPE: Final = "application/json"
MAX_BYTES: Final = 2 * 1024 * 1024
"""More than any outcome needs: a dead letter holds at most 256 KiB of its record, of which JSON makes six times as much (control characters)."""

Kind = Literal["verdict", "dead_letter"]


def object_key(outcome_id: str) -> str:
    """Return the key under which an outcome is settled."""
    return f"{PREFIX}{outcome_id}.json"


def _read_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error:
            raise ValueError("base64 cannot be decoded") from None
    raise ValueError('must be text or {"base64": "..."}')


def _write_bytes(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


Raw = Annotated[
    bytes,
    PlainValidator(_read_bytes),
    PlainSerializer(_write_bytes, return_type=Any, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"base64": {"type": "string"}}, "required": ["base64"]},
            ]
        }
    ),
]
"""Bytes of a record: a JSON string where they are UTF-8, which they nearly always are, else `{"base64": "..."}`."""


class SettledOutcome(Message):
    """Topic, key, value and headers of the record, exactly as they are published, by whomever and however often."""

    schema_: Literal["deeptrace.outcome/1"] = Field(default=SCHEMA, alias="schema")
    outcome_id: str
    kind: Kind
    topic: str
    key: Raw | None = None
    value: Raw | None = None
    headers: tuple[tuple[str, Raw | None], ...] = ()
