"""`deeptrace drift recount`: the published windows against a count of the verdicts themselves."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from schemas import topics
from schemas.base import rfc3339
from schemas.errors import CheckFailed, MessageInvalid
from schemas.window import WindowSummary
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.drift.observations import EventTimes
from streams.drift.recount import Comparison, Recount, compare
from streams.drift.specs import parse_specs
from streams.settings import Settings
from streams.topic_reader import read_topics

SHOWN = 20
"""Differences that are named one by one; `--json` names all."""


def recount(
    since: Annotated[str, typer.Option(help="Windows that begin at this moment or later: 7d, or RFC 3339.")],
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant; `*` for the windows over all tenants.", show_default="all")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the windows anew from the verdicts and compare them with what was published; exit 3 where they differ.

    Images that came after their window was closed are explained by the `late` of the windows. The verdicts must still be on their topic. Take
    a `--since` at the border of your longest window.
    """
    settings = read_settings()
    begin = parse_since(since)
    counted, found = asyncio.run(_recount(settings, begin, tenant))
    if as_json:
        print_json(
            {
                "since": rfc3339(begin),
                "verdicts": dict(counted.results),
                "equal": found.equal,
                "late": found.late,
                "differences": [
                    {
                        "tenant": one.tenant,
                        "window": one.window,
                        "start": _start(one.start_ms),
                        "kind": one.kind,
                        "why": one.why,
                    }
                    for one in found.differences
                ],
            }
        )
        if found.differences:
            raise typer.Exit(CheckFailed.exit_code)
        return
    out.print(
        f"{counted.results['counted']} verdicts counted; {found.equal} windows are equal, {found.late} short of images that came late"
    )
    for one in found.differences[:SHOWN]:
        line = printable(f"{one.kind}  {one.tenant}  {one.window}  {_start(one.start_ms)}  {one.why}")
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.differences:
        raise CheckFailed(
            f"{len(found.differences)} windows are not what the verdicts say",
            why="verdicts that have left the topic, a changed DEEPTRACE_DRIFT__WINDOWS, clocks that disagree, or a fault in the drift worker",
            remedy="Give a --since at which all verdicts were still there, at the border of the longest window.",
        )


async def _recount(settings: Settings, since: datetime, tenant: str | None) -> tuple[Recount, Comparison]:
    specs = parse_specs(settings.drift.windows)
    counted = Recount(specs, EventTimes.of(settings.drift))
    since_ms, now_ms = round(since.timestamp() * 1000), round(time.time() * 1000)
    # an event may be a little ahead of the time at which its verdict was written
    written = since - timedelta(seconds=settings.drift.max_future_s)
    published = []
    async for record in read_topics(settings.kafka, [topics.WINDOWS], since=since):
        try:
            published.append(WindowSummary.from_bytes(record.value or b""))
        except MessageInvalid:
            continue
    async for record in read_topics(settings.kafka, [topics.VERDICTS], since=written):
        counted.take(record, written_s=record.timestamp.timestamp(), now_ms=now_ms)
    windows = {
        place: one for place, one in counted.windows().items() if place[2] >= since_ms and tenant in {None, place[0]}
    }
    said = [one for one in published if tenant in {None, one.tenant}]
    return counted, compare(windows, said, specs, since_ms=since_ms, max_tenants=settings.drift.max_tenants)


def _start(start_ms: int) -> str:
    return rfc3339(datetime.fromtimestamp(start_ms / 1000, UTC))
