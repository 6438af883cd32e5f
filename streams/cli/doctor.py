"""`deeptrace doctor`: one line a check, each failure with its remedy."""

import asyncio
from typing import Annotated

import typer

from streams.checks import Finding, run_checks
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings

EXIT_CHECK_FAILED = 3


def doctor(
    as_json: AsJson = False,
    only: Annotated[list[str] | None, typer.Option(help="Run only these checks.")] = None,
) -> None:
    """Check what a worker needs: libraries, broker, topics, store, buckets, checkpoint. Exits with 3 when a check fails."""
    findings = asyncio.run(run_checks(read_settings(), only=only))
    for finding in findings:
        if as_json:
            print_json({"check": finding.name, "ok": finding.ok, "detail": finding.detail, "remedy": finding.remedy})
        else:
            _show(finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_CHECK_FAILED)


def _show(finding: Finding) -> None:
    mark = "[green]ok  [/]" if finding.ok else "[red]FAIL[/]"
    out.print(f"{mark} {finding.name:<12}", end=" ", highlight=False)
    out.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    if finding.remedy:
        out.print(f"     do: {finding.remedy}", markup=False, highlight=False, soft_wrap=True)
