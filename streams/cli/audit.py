"""`deeptrace audit`: whether every accepted reference has exactly one outcome, counted from topics and store alone."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich import progress as bars
from rich.table import Table

from schemas import topics
from schemas.errors import CheckFailed, UsageError
from streams.audit.offsets import Range
from streams.audit.progress import Progress, silent
from streams.audit.report import FAULTS, Report
from streams.audit.run import audit as run_audit
from streams.cli.arguments import parse_place, parse_since
from streams.cli.console import err, out, print_json, printable
from streams.cli.console import settings as read_settings

EVERY_S = 0.1  # a bar need not be redrawn for each object


def audit(
    begin: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="PARTITION:OFFSET", help="First offset audited; repeat for each partition."),
    ] = None,
    end: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="PARTITION:OFFSET", help="Offset before which to end; repeat for each partition."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only references from this moment on: 2h, 3d, or RFC 3339. Outcomes: from a day earlier on."),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete", help="What is still being worked on is a fault too: for use after the last reference."
        ),
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every stored outcome, instead of believing the store's MD5 of it.")
    ] = False,
    show: Annotated[int, typer.Option(min=1, help="Name at most so many faults of each kind.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count from topics and store whether each accepted reference has exactly one outcome. Exits with 3 when not.

    Run it with the settings of the workers: which buckets may be referenced, the group, and whether outcomes are settled.
    """
    wanted = _range(begin or [], end or [], since)
    with _progress() as progress:
        report = asyncio.run(
            run_audit(read_settings(), wanted, complete=complete, deep=deep, show=show, progress=progress)
        )
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report)
    if report.failed:
        raise CheckFailed(
            "the audit found faults: " + ", ".join(f"{kind} {report.counts[kind]}" for kind in report.failed),
            remedy="Look at the outcomes named: `deeptrace outcome ID`, `deeptrace dlq show PARTITION:OFFSET`.",
        )


def show_report(report: Report) -> None:
    """Print the counts, then what is wrong."""
    span = ", ".join(f"{partition}:{start}-{end}" for partition, (start, end) in sorted(report.range.items()))
    out.print(f"{topics.IMAGES} {span}" + (" (all of it)" if report.whole else ""), highlight=False)
    out.print(_counts(report), markup=False)
    out.print(_faults(report), markup=False)
    for kind, examples in report.examples.items():
        for example in examples:
            out.print(
                f"{kind}  {example.outcome_id or '-'}  {example.at}", highlight=False, markup=False, soft_wrap=True
            )
    for note in report.notes:
        err.print(f"note: {note}", highlight=False, markup=False)
    if not report.failed:
        out.print("every accepted reference has exactly one outcome" if not report.counts["pending"] else "no fault")


def _counts(report: Report) -> Table:
    codes = ", ".join(
        f"{printable(code) or '(none)'} {count}" for code, count in report.dead_letters_by_code.most_common()
    )
    table = Table("", "", "", box=None, show_header=False)
    table.columns[1].justify = "right"
    for name, count, detail in (
        ("records", report.records, f"{report.ignored} ignored (deletions, test events, our own objects)"),
        ("accepted", report.accepted, f"{report.duplicates} duplicates among the input"),
        ("verdicts", report.verdicts, ""),
        ("dead letters", report.dead_letters, codes),
        ("repeats", report.repeats, ""),
        (
            "stored",
            report.stored,
            "" if report.mode == "settled" else "(outcomes=at_least_once: the store was not asked)",
        ),
    ):
        table.add_row(name, str(count), detail)
    return table


def _faults(report: Report) -> Table:
    table = Table("fault", "count", "", box=None)
    table.columns[1].justify = "right"
    failed = report.failed
    for kind, meaning in FAULTS.items():
        count = report.counts[kind]
        table.add_row(kind, str(count), meaning, style="bold red" if kind in failed else None if count else "dim")
    return table


def _range(begin: list[str], end: list[str], since: str | None) -> Range:
    if since is not None and (begin or end):
        raise UsageError("--since goes with neither --from nor --to", remedy="Give one of them.")
    return Range(
        starts=dict(parse_place(place) for place in begin),
        ends=dict(parse_place(place) for place in end),
        since=None if since is None else parse_since(since),
    )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Draw one bar for each step, on a terminal only."""
    if not err.is_terminal:
        yield silent
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=err, transient=True) as shown:
        tasks: dict[str, bars.TaskID] = {}
        drawn_at = 0.0

        def draw(what: str, done: int, total: int) -> None:
            nonlocal drawn_at
            new, now = what not in tasks, time.monotonic()
            if new:
                tasks[what] = shown.add_task(what, total=total)
            if new or done >= total or now - drawn_at > EVERY_S:
                drawn_at = now
                shown.update(tasks[what], completed=done, total=max(total, done))

        yield draw
