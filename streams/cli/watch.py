"""`deeptrace watch`: verdicts, what a narrator says of them, windows, alerts and dead letters as they come in."""

import asyncio
from typing import Annotated, Any

import orjson
import typer

from schemas import topics
from schemas.dead_letter import DeadLetter
from schemas.errors import MessageInvalid
from schemas.incoming import Record
from schemas.narrative import Narrative
from schemas.verdict import Verdict
from schemas.window import CANDIDATE_SCHEMA, OVERALL, DriftAlert, GeneratorCandidate, WindowSummary
from streams.cli.console import AsJson, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.topic_reader import read_topics
from streams.verdict_words import confidence, one_of, why

WATCHED = (topics.VERDICTS, topics.EXPLANATIONS, topics.DEAD_LETTERS, topics.WINDOWS, topics.DRIFT_ALERTS)


def watch(
    from_beginning: Annotated[bool, typer.Option(help="Begin with what is there already.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many records.")] = None,
    as_json: AsJson = False,
) -> None:
    """Follow verdicts, explanations in words, windows, drift alerts and dead letters until Ctrl-C."""
    try:
        asyncio.run(_watch(from_end=not from_beginning, limit=limit, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _watch(*, from_end: bool, limit: int | None, as_json: bool) -> None:
    settings = read_settings()
    seen = 0
    async for record in read_topics(settings.kafka, WATCHED, follow=True, from_end=from_end):
        if as_json:
            print_json(
                {"topic": record.topic, "partition": record.partition, "offset": record.offset, **_as_json(record)}
            )
        else:
            out.print(describe(record), markup=False, highlight=False, soft_wrap=True)
        seen += 1
        if limit is not None and seen >= limit:
            return


def describe(record: Record) -> str:
    """Return one line about a record of any of our output topics, safe to be shown on a terminal."""
    try:
        return printable(_describe(record))
    except MessageInvalid as error:
        return printable(f"unreadable   {record.topic}/{record.partition}/{record.offset}  {error}")


def _describe(record: Record) -> str:
    value = record.value or b""
    if record.topic == topics.VERDICTS:
        verdict = Verdict.from_bytes(value)
        said = [verdict.tenant, verdict.image_id, verdict.verdict, verdict.predicted_source or "-", confidence(verdict)]
        said += [f"why: {why(verdict)}"] if verdict.reasons else []
        said += [f"one of: {one_of(verdict)}"] if verdict.label_set else []
        return f"verdict      {'  '.join(said)}  {verdict.timing.processing_ms:.0f} ms"
    if record.topic == topics.EXPLANATIONS:
        narrative = Narrative.from_bytes(value)
        return f"in words     {narrative.tenant}  {narrative.image_id}  {narrative.summary}  (caution: {narrative.caution})"
    if record.topic == topics.DEAD_LETTERS:
        letter = DeadLetter.read(record)
        return f"dead letter  {letter.code}  {letter.topic}/{letter.partition}/{letter.offset}  {letter.message}"
    if record.topic == topics.WINDOWS:
        window = WindowSummary.from_bytes(value)
        kl = window.kl_current_reference_nats
        drift = "" if kl is None else f"  KL {kl:.3f}"
        kind = f"  {window.window}" if window.window else ""
        return f"window       {_whose(window.tenant)}{kind}  {window.start:%H:%M:%S}  {window.images} images  {window.counts}{drift}"
    if _schema(value) == CANDIDATE_SCHEMA:
        candidate = GeneratorCandidate.from_bytes(value)
        return (
            f"candidate    {_whose(candidate.tenant)}  {candidate.window}  {candidate.start:%H:%M:%S}  "
            f"{candidate.images} novel images alike, nearest {candidate.nearest_class or '-'}"
        )
    return _describe_alert(DriftAlert.from_bytes(value))


def _describe_alert(alert: DriftAlert) -> str:
    said = f"drift alert  {_whose(alert.tenant)}  {alert.start:%H:%M:%S}  "
    if alert.statistic != "kl_current_reference_nats":
        return f"{said}slow drift of the confidence  {alert.value:.3f} > {alert.threshold}"
    if alert.state == "resolved":
        return f"{said}over  KL {alert.value:.3f}"
    return f"{said}KL {alert.value:.3f} > {alert.threshold}  more {alert.most_grown}, less {alert.most_shrunk}"


def _whose(tenant: str) -> str:
    return "all tenants" if tenant == OVERALL else tenant


def _schema(value: bytes) -> Any:
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return record.get("schema") if isinstance(record, dict) else None


def _as_json(record: Record) -> dict[str, Any]:
    if record.topic == topics.DEAD_LETTERS:
        letter = DeadLetter.read(record)
        return {"code": letter.code, "outcome_id": letter.outcome_id, "stage": letter.stage, "message": letter.message}
    try:
        value: Any = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        value = None
    return {"value": value}
