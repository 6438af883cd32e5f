"""`deeptrace outcome`: the settled outcome of one reference, read back from the archive in the store."""

import sys
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer

from schemas.base import rfc3339
from schemas.dead_letter import DeadLetter
from schemas.errors import CheckFailed, MessageInvalid, ObjectNotFound, UsageError
from schemas.identity import OUTCOME_ID_LENGTH
from schemas.incoming import Record
from schemas.settled import MAX_BYTES, SettledOutcome, object_key
from schemas.verdict import Verdict
from storage.store import StoredObject
from streams.assembly import make_store
from streams.cli.console import AsJson, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.letters import whole
from streams.verdict_words import confidence, one_of, why

HEX = frozenset("0123456789abcdef")


def outcome(
    outcome_id: Annotated[
        str, typer.Argument(metavar="ID", help="40 hex digits: a verdict's `ce_id`, a dead letter's `dt-outcome-id`.")
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Write the stored bytes as they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the one outcome of a reference as it is settled in the store. Exits with 3 when there is none."""
    require_outcome_id(outcome_id)
    found = stored_outcome(outcome_id)
    if raw:
        sys.stdout.buffer.write(found.data)
        sys.stdout.buffer.flush()
        return
    settled = read_settled(found.data, outcome_id)
    if as_json:
        print_json(as_on_topic(settled))
    else:
        for name, text in described(settled, found.info.last_modified):
            out.print(printable(f"{name:<13}{text}"), highlight=False, markup=False, soft_wrap=True)


def require_outcome_id(text: str) -> None:
    """Raise UsageError unless `text` is spelt like the id of an outcome."""
    if len(text) != OUTCOME_ID_LENGTH or not HEX.issuperset(text):
        raise UsageError(
            "not an outcome id", why="it has 40 hex digits, in lower case", remedy="Copy a verdict's outcome_id."
        )


def as_on_topic(settled: SettledOutcome) -> Any:
    """Return the verdict as it lies on the topic, or what `dlq show` says of the dead letter."""
    if settled.kind == "verdict":
        return orjson.loads(_verdict(settled).to_bytes())
    return whole(_record(settled))


def described(settled: SettledOutcome, stored_at: datetime | None) -> list[tuple[str, str]]:
    """Return the lines that a person is shown."""
    if settled.kind == "verdict":
        lines = _verdict_lines(_verdict(settled))
    else:
        letter = DeadLetter.read(_record(settled))
        lines = [
            ("code", letter.code),
            ("stage", letter.stage),
            ("tries", str(letter.attempts)),
            ("message", letter.message),
            ("from", f"{letter.topic}/{letter.partition}/{letter.offset}"),
        ]
    when = "unknown" if stored_at is None else rfc3339(stored_at)
    return [("outcome", settled.outcome_id), ("kind", settled.kind.replace("_", " ")), *lines, ("stored at", when)]


def _verdict_lines(verdict: Verdict) -> list[tuple[str, str]]:
    source = verdict.source
    return [
        ("image", f"{verdict.image_id} of {verdict.tenant}"),
        ("verdict", verdict.verdict),
        ("source", verdict.predicted_source or "-"),
        ("confidence", confidence(verdict) or "-"),
        *([("why", why(verdict))] if verdict.reasons else []),
        *([("one of", one_of(verdict))] if verdict.label_set else []),
        ("model", f"{verdict.model.version} ({verdict.model.training_data})"),
        ("status", ", ".join((verdict.status, *verdict.degraded))),
        ("from", f"{source.topic}/{source.partition}/{source.offset}"),
    ]


def stored_outcome(outcome_id: str) -> StoredObject:
    """Return the object under which an outcome is settled.

    Raises:
        CheckFailed: there is none.
    """
    settings = read_settings()
    store = make_store(settings)
    try:
        return store.get(
            settings.store.outcome_bucket,
            object_key(outcome_id),
            max_bytes=MAX_BYTES,
            deadline_s=settings.store.deadline_s,
        )
    except ObjectNotFound:
        raise CheckFailed(
            f"no outcome {outcome_id} in the store",
            why="nothing was settled under this id: it is still worked on, was never accepted, or was published with outcomes=at_least_once",
            remedy="`deeptrace audit` says what is pending and what is missing.",
        ) from None
    finally:
        store.close()


def read_settled(data: bytes, outcome_id: str) -> SettledOutcome:
    """Return the stored outcome.

    Raises:
        CheckFailed: somebody wrote something else there.
    """
    try:
        settled = SettledOutcome.from_bytes(data)
        other = settled.outcome_id != outcome_id
        if settled.kind == "verdict":
            other |= _verdict(settled).outcome_id != outcome_id
    except MessageInvalid as error:
        raise _spoilt(outcome_id, str(error)) from None
    if other:
        raise _spoilt(outcome_id, "it has another outcome_id inside")
    return settled


def _spoilt(outcome_id: str, why: str) -> CheckFailed:
    return CheckFailed(
        f"the stored outcome {outcome_id} cannot be read",
        why=why,
        remedy="`--raw` shows its bytes. Somebody changed it: nothing of DeepTrace writes an outcome twice.",
    )


def _verdict(settled: SettledOutcome) -> Verdict:
    return Verdict.from_bytes(settled.value or b"")


def _record(settled: SettledOutcome) -> Record:
    return Record(settled.topic, 0, 0, settled.key, settled.value, settled.headers)
