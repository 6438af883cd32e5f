"""Writes the JSON Schemas and the AsyncAPI 3.0 document of the messages: `python -m schemas.generate [--check]`.

The files under `schemas/json/` are generated and committed, so that a producer in any language can read them without Python.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson

from schemas import retry, topics
from schemas.base import Message
from schemas.calibration import CalibrationProfile
from schemas.dead_letter import ATTEMPTS, CONNECT, ERROR_CODE, OUTCOME_ID
from schemas.errors import Rejection, Transient, leaves
from schemas.image_ref import ImageRef
from schemas.label import Label, Labelled
from schemas.narrative import Narrative
from schemas.observations import ObservationBatch
from schemas.reference import CurrentReference, DriftReference
from schemas.release import ReleaseManifest, ReleaseMove
from schemas.settled import SettledOutcome
from schemas.shadow import ShadowVerdict
from schemas.verdict import Verdict
from schemas.window import DriftAlert, GeneratorCandidate, WindowSummary

FOLDER = Path(__file__).parent / "json"
VERSION = "1.0.0"
MESSAGES: dict[str, type[Message]] = {
    "image-ref.v1": ImageRef,
    "verdict.v1": Verdict,
    "shadow-verdict.v1": ShadowVerdict,
    "observation-batch.v2": ObservationBatch,
    "window-summary.v1": WindowSummary,
    "drift-alert.v1": DriftAlert,
    "generator-candidate.v1": GeneratorCandidate,
    "narrative.v1": Narrative,
    "label.v1": Label,
    "labelled.v1": Labelled,
}
STORED: dict[str, type[Message]] = {
    "outcome.v1": SettledOutcome,
    "release.v1": ReleaseManifest,
    "release-move.v1": ReleaseMove,
    "calibration-profile.v1": CalibrationProfile,
    "drift-reference.v1": DriftReference,
    "drift-reference-current.v1": CurrentReference,
}
"""What lies in the object store, not on a topic."""
CHANNELS = (
    (
        topics.IMAGES,
        "image-ref.v1",
        "receive",
        "References to uploaded images; also S3 bucket notifications as the server sends them.",
    ),
    (topics.VERDICTS, "verdict.v1", "send", "One verdict for each judged reference. Key: `tenant|image_id`."),
    (
        topics.SHADOW_VERDICTS,
        "shadow-verdict.v1",
        "send",
        "What a candidate on trial says beside the champion; nobody's verdict. Key: `tenant|image_id`.",
    ),
    (
        topics.OBSERVATIONS,
        "observation-batch.v2",
        "send",
        "Internal to the drift workers: what windows need of verdicts, many in one record. Key: tenant.",
    ),
    (topics.WINDOWS, "window-summary.v1", "send", "One closed window of one tenant. Key: tenant."),
    (topics.DRIFT_ALERTS, "drift-alert.v1", "send", "A window that drifted. Key: tenant."),
    (
        topics.LABELS,
        "label.v1",
        "receive",
        "What reviewers say about verdicts. Key: `tenant|image_id`.",
    ),
    (topics.LABELLED, "labelled.v1", "send", "Labels joined to their verdicts. Key: `tenant|image_id`."),
    (
        topics.REPLAYED_VERDICTS,
        "verdict.v1",
        "send",
        "What `deeptrace replay` makes of history: verdicts with `reason` `replay`, kept out of live windows. Key: `tenant|image_id`. Headers: `dt-replay-name`, `dt-replay-at` (partition and offset of the old verdict), `dt-replay-before` (what that said).",
    ),
    (topics.EXPLANATIONS, "narrative.v1", "send", "A verdict in words, where a narrator runs. Key: `tenant|image_id`."),
)
DEAD_LETTER_HEADERS = (
    *(f"{CONNECT}{name}" for name in ("topic", "partition", "offset", "stage", "class.name")),
    f"{CONNECT}exception.class.name",
    f"{CONNECT}exception.message",
    ERROR_CODE,
    ATTEMPTS,
    OUTCOME_ID,
)
RETRY_CHANNEL = f"{topics.RETRY_PREFIX}{{step}}"


def documents() -> dict[str, bytes]:
    """Return every generated file's content by name."""
    files = {f"{name}.schema.json": _json(_schema(name, message)) for name, message in (MESSAGES | STORED).items()}
    files["asyncapi.json"] = _json(asyncapi())
    return files


def dead_letter_codes() -> list[str]:
    """Return every code that a dead letter may carry."""
    final = (error for root in (Rejection, Transient) for error in leaves(root) if not error.__subclasses__())
    return sorted(error.code for error in final)


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: topics as channels, messages by reference to their schemas."""
    channels = {topic: _channel(topic, name, text) for topic, name, _, text in CHANNELS}
    channels[topics.DEAD_LETTERS] = {
        "address": topics.DEAD_LETTERS,
        "description": "The original record, untouched, for each reference that cannot be judged. "
        f"`{ERROR_CODE}` is one of: {', '.join(dead_letter_codes())}.",
        "messages": {"dead-letter.v1": {"$ref": "#/components/messages/dead-letter.v1"}},
    }
    channels[RETRY_CHANNEL] = {
        "address": RETRY_CHANNEL,
        "description": "Internal to the scoring workers: the original record of a reference that is tried again later. "
        "One topic for each wait, so that its records are due in their order.",
        "parameters": {"step": {"description": "How many rounds have failed, from 1."}},
        "messages": {"retry.v1": {"$ref": "#/components/messages/retry.v1"}},
    }
    operations = {
        f"{action}-{name}": {"action": action, "channel": {"$ref": f"#/channels/{topic}"}}
        for topic, name, action, _ in CHANNELS
    }
    operations["send-dead-letter.v1"] = {"action": "send", "channel": {"$ref": f"#/channels/{topics.DEAD_LETTERS}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "DeepTrace stream",
            "version": VERSION,
            "description": "Image references in, verdicts out. CloudEvents 1.0 binary mode: attributes are `ce_*` record headers.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {
                **{name: _message(name) for name in MESSAGES},
                "dead-letter.v1": _original("dead-letter.v1", DEAD_LETTER_HEADERS),
                "retry.v1": _original("retry.v1", sorted(retry.OURS)),
            }
        },
    }


def _schema(name: str, message: type[Message]) -> dict[str, Any]:
    mode: Literal["validation", "serialization"] = "validation" if message is ImageRef else "serialization"
    schema = message.model_json_schema(mode=mode)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"deeptrace:{name}", **schema}


def _channel(topic: str, name: str, text: str) -> dict[str, Any]:
    return {"address": topic, "description": text, "messages": {name: {"$ref": f"#/components/messages/{name}"}}}


def _message(name: str) -> dict[str, Any]:
    ids = ("ce_id", "ce_source", "ce_type", "ce_specversion")
    return {
        "name": name,
        "headers": {"type": "object", "properties": {header: {"type": "string"} for header in ids}},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{name}.schema.json"},
        },
    }


def _original(name: str, headers: Iterable[str]) -> dict[str, Any]:
    return {
        "name": name,
        "headers": {"type": "object", "properties": {header: {"type": "string"} for header in headers}},
        "payload": {"description": "The bytes of the original record."},
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` say which differ and return 3."""
    stale = [name for name, content in documents().items() if not _is_current(FOLDER / name, content)]
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"schemas/json/{name} is out of date: run `python -m schemas.generate`\n")
        return 3 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_bytes(content)
    return 0


def _is_current(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
