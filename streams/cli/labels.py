"""`deeptrace labels`: say whether a verdict was right, and see what all that was said comes to."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from schemas import topics
from schemas.errors import CheckFailed
from schemas.label import Label
from schemas.verdict import Verdict
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.cli.outcome import read_settled, require_outcome_id, stored_outcome
from streams.labels.calibration import Finding
from streams.labels.judging import Said, as_class
from streams.labels.report import LabelReport
from streams.labels.sending import label_of, reviewer_hash, send
from streams.labels.tally import Rate, Tally
from streams.producer import Producer
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

app = typer.Typer(no_args_is_help=True, help="Say whether verdicts were right, and see live precision and recall.")


@app.command("send")
def send_label(
    outcome_id: Annotated[
        str, typer.Argument(metavar="OUTCOME_ID", help="The verdict's `outcome_id` (40 hex digits), as in its `ce_id`.")
    ],
    label: Annotated[
        Said, typer.Option("--label", help="Whether the stated source is right; `inconclusive`: it cannot be told.")
    ],
    reviewer: Annotated[str, typer.Option(help="Who says so. Only a salted hash of it is sent.")],
    true_source: Annotated[
        str | None,
        typer.Option(
            help="What the image truly is, where that is known: a class, `real`, or another generator's name."
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="A few words, at most 256 characters; no names.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a reviewer's label of one verdict. The last one of a reviewer counts. Exits with 3 when there is no such verdict."""
    settings = read_settings()
    who = reviewer_hash(reviewer, settings.labels.reviewer_salt)
    verdict = _verdict(outcome_id)
    made = label_of(verdict, label, true_source=true_source, reason=reason, reviewer=who, labelled_at=datetime.now(UTC))
    asyncio.run(_send(settings.kafka, made))
    if as_json:
        print_json(made.to_json())
        return
    out.print(
        printable(f"sent: {verdict.image_id} of {verdict.tenant}, {_stated(verdict)}, is {label}"),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if true_source is not None and as_class(true_source, verdict.model.classes) != true_source:
        err.print(
            printable(f"{true_source} is no class of {verdict.model.version}: it counts as unknown_generator"),
            highlight=False,
            markup=False,
        )


@app.command()
def report(
    since: Annotated[
        str | None,
        typer.Option(help="Labels given from this moment on: 30d, or RFC 3339; unset: `labels.window_days`."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print live precision and recall by class, what is disputed or has no verdict, and whether the calibration still holds. Changes nothing."""
    settings = read_settings()
    window = timedelta(days=settings.labels.window_days)
    moment = datetime.now(UTC) - window if since is None else parse_since(since)
    found = LabelReport(since=moment, tenant=tenant)
    asyncio.run(_read(settings.kafka, found, moment))
    if as_json:
        print_json(found.as_json(min_labels=settings.labels.min_labels))
        return
    _show(found, settings.labels.min_labels)


async def _send(kafka: KafkaSettings, label: Label) -> None:
    async with Producer(kafka, client_id="deeptrace-labels") as producer:
        await send(producer, label)


async def _read(kafka: KafkaSettings, found: LabelReport, since: datetime) -> None:
    # a label lies behind the moment it was given, and its pair behind the label
    async for record in read_topics(kafka, [topics.LABELS, topics.LABELLED], since=since):
        found.take(record)


def _verdict(outcome_id: str) -> Verdict:
    require_outcome_id(outcome_id)
    settled = read_settled(stored_outcome(outcome_id).data, outcome_id)
    if settled.kind != "verdict":
        raise CheckFailed(
            f"outcome {outcome_id} is a dead letter",
            why="nothing was said of the image that could be right or wrong",
            remedy="`deeptrace outcome` shows why.",
        )
    return Verdict.from_bytes(settled.value or b"")


def _show(found: LabelReport, min_labels: int) -> None:
    tally, statuses = found.tally, found.tally.statuses
    out.print(
        f"{found.book.labels} labels of {tally.outcomes} verdicts: {statuses['counted']} counted, {statuses['disputed']} disputed, "
        f"{statuses['contradictory']} contradictory, {statuses['inconclusive']} inconclusive",
        highlight=False,
    )
    if found.unmatched or found.refused:
        refused = ", ".join(f"{count} {code}" for code, count in sorted(found.refused.items()))
        out.print(
            f"{found.unmatched} labels without a verdict (not joined yet, no such outcome, or another tenant's)"
            + (f"; no labels: {refused}" if refused else ""),
            highlight=False,
        )
    if tally.rows():
        out.print(_table(tally), markup=False)
        out.print(
            "95 % intervals (Wilson). Recall is among labelled images only: what nobody looked at is not in it.",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
    for finding in found.findings(min_labels=min_labels):
        for name, text in said_of(finding, min_labels):
            out.print(printable(f"{name:<13}{text}"), highlight=False, markup=False, soft_wrap=True)


def _table(tally: Tally) -> Table:
    table = Table("source", "precision", "95 %", "of", "recall", "95 %", "of", box=None)
    for row in tally.rows():
        table.add_row(printable(row.source), *_cells(row.precision), *_cells(row.recall))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _cells(rate: Rate) -> tuple[str, str, str]:
    if rate.value is None:
        return "-", "", "0"
    return f"{rate.value:.3f}", f"{rate.low:.3f} - {rate.high:.3f}", str(rate.of)


def said_of(finding: Finding, min_labels: int) -> list[tuple[str, str]]:
    """Return what is said of one calibration; the command is one to be run by a person who agrees."""
    head = ("calibration", f"{finding.calibration_id} ({', '.join(finding.versions)})")
    if finding.holds is None or finding.accuracy is None:
        return [head, ("", f"{finding.labelled} labelled verdicts, {min_labels} are asked for: nothing is said of it")]
    accuracy = finding.accuracy
    lines = [
        head,
        (
            "confidence",
            f"mean {finding.mean_confidence:.3f} against {accuracy.value:.3f} right ({accuracy.low:.3f} - {accuracy.high:.3f}, {accuracy.of} verdicts)",
        ),
        ("ECE", f"{finding.ece:.3f}; chance alone makes up to {finding.ece_by_chance:.3f} of so few"),
        ("holds", "yes, as far as these labels tell" if finding.holds else "no"),
        *_mix(finding),
    ]
    fit = finding.refit
    if fit is None:
        return [
            *lines,
            ("refit", f"none: fewer than {min_labels} labels name a class of the model and have its probabilities"),
        ]
    gain = f"{fit.gain:+.4f} nats an image on held-out folds ({fit.low:+.4f} to {fit.high:+.4f}, {fit.images} images)"
    if not finding.is_proposed:
        return [*lines, ("refit", f"no gain beyond chance: {gain}")]
    shift = "" if fit.real_logit_shift is None else f" and {fit.real_logit_shift:+.2f} on the logit of real"
    return [
        *lines,
        ("proposal", f"a new calibration is proposed: temperatures times {fit.temperature:.2f}{shift}; {gain}"),
        (
            "",
            "Nothing was changed. If review picks what people complain about, the labels make any model look worse than it is.",
        ),
        ("", "Put labelled images into the split `calibration` of the manifest, and run"),
        ("", "  deeptrace calibrate --checkpoint CHECKPOINT --manifest MANIFEST --out recalibrated.safetensors"),
        *([("", "  with `calibrate.real_logit_shift: true` in params.yaml")] if fit.real_logit_shift else []),
        ("", "then evaluate, publish and promote it with --alias shadow first."),
    ]


def _mix(finding: Finding) -> list[tuple[str, str]]:
    mix, before = finding.photographs, finding.photographs_before
    if mix is None or mix.value is None or before is None or not finding.has_another_mix:
        return []
    text = (
        f"{mix.value:.1%} photographs ({mix.of} images of known class) where the calibration was fitted for {before:.1%}: probabilities mean "
        "something else then, however good the model; the corrected share of windows allows for that"
    )
    return [("mix", text)]


def _stated(verdict: Verdict) -> str:
    return verdict.predicted_source or verdict.verdict
