"""`deeptrace dlq replay`: dead letters are tried again, under a new identity."""

import asyncio
import sys
from contextlib import aclosing
from typing import Annotated, Any

import typer

from schemas.errors import CheckFailed, UsageError
from schemas.incoming import Intake
from streams.cli.arguments import parse_place, parse_since
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.letters import Pick, header_text, place_of
from streams.producer import Producer
from streams.replaying import Sent, Survey, planned, publish, survey
from streams.settings import Settings


def replay(
    code: Annotated[
        list[str] | None, typer.Option("--code", help="Only letters with this error code; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only letters from this moment on: 2h, 3d, or RFC 3339.")] = None,
    letter: Annotated[
        str | None, typer.Option(metavar="PARTITION:OFFSET", help="This letter alone, as `dlq list` prints it.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; show what would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish the originals of dead letters again, each under a new event id, with the old outcome id in `dt-replay-of`.

    What could not be sent whole (its letter is cut) is left out, and so is what was replayed before.
    """
    pick = Pick(
        codes=code or (),
        since=None if since is None else parse_since(since),
        place=None if letter is None else parse_place(letter),
    )
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("nobody is there to be asked", remedy="Look with --dry-run, then add --yes.")
    settings = read_settings()
    found = asyncio.run(survey(settings.kafka, pick, limit=limit, again=again))
    _say(found)
    if not found.chosen:
        if pick.place is not None:
            raise CheckFailed("this letter is not replayed", why="; ".join(found.left_out) or "there is none")
        return
    if dry_run:
        asyncio.run(_plan(settings, pick, found, as_json=as_json))
        err.print(f"nothing was published; {len(found.chosen)} would be", highlight=False)
        return
    if not yes:
        typer.confirm(f"Publish {len(found.chosen)} references again?", abort=True, err=True)
    count = asyncio.run(_publish(settings, pick, found, as_json=as_json))
    err.print(f"{count} replayed", highlight=False)


async def _plan(settings: Settings, pick: Pick, found: Survey, *, as_json: bool) -> None:
    async for sent in planned(settings.kafka, pick, _intake(settings), found.chosen):
        _show(sent, dry_run=True, as_json=as_json)


async def _publish(settings: Settings, pick: Pick, found: Survey, *, as_json: bool) -> int:
    count = 0
    async with (
        Producer(settings.kafka, client_id="deeptrace-replay") as producer,
        aclosing(planned(settings.kafka, pick, _intake(settings), found.chosen)) as records,
    ):
        async for sent in publish(producer, records):
            _show(sent, dry_run=False, as_json=as_json)
            count += 1
    return count


def _say(found: Survey) -> None:
    codes = ", ".join(f"{printable(code)} {count}" for code, count in found.by_code.most_common())
    err.print(f"{len(found.chosen)} to replay" + (f": {codes}" if codes else ""), highlight=False, markup=False)
    for why, count in found.left_out.most_common():
        err.print(f"{count} left out: {why}", highlight=False, markup=False)


def _show(sent: Sent, *, dry_run: bool, as_json: bool) -> None:
    record, letter = sent.letter
    replay = sent.replay
    if not as_json:
        what = f"{place_of(record)}  {letter.code}  {letter.outcome_id} -> {replay.outcome_id or '(by its place)'}"
        out.print(printable(what), highlight=False, markup=False, soft_wrap=True)
        return
    said: dict[str, Any] = {
        "letter": place_of(record),
        "code": letter.code,
        "replay_of": letter.outcome_id,
        "event_id": replay.event_id,
        "outcome_id": replay.outcome_id,
        "published": not dry_run,
    }
    if dry_run:
        said["key"] = header_text(replay.key)
        said["value"] = header_text(replay.value)
        said["headers"] = [(name, header_text(value)) for name, value in replay.headers]
    print_json(said)


def _intake(settings: Settings) -> Intake:
    store = settings.store
    return Intake(
        buckets=frozenset(store.image_buckets),
        overlay_bucket=store.overlay_bucket,
        overlay_prefix=store.overlay_prefix,
        outcome_bucket=store.outcome_bucket,
    )
