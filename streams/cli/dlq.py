"""`deeptrace dlq`: what could not be judged, and why; and once the cause is gone, another try."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from schemas.base import rfc3339
from schemas.errors import CheckFailed
from schemas.incoming import Record
from streams.cli import replay
from streams.cli.arguments import parse_place, parse_since
from streams.cli.console import LAYOUT, AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.letters import Counts, Letter, Newest, Pick, header_text, place_of, read_letters, summary, whole

Codes = Annotated[list[str] | None, typer.Option("--code", help="Only letters with this error code; may be repeated.")]
Since = Annotated[str | None, typer.Option(help="Only letters from this moment on: 2h, 3d, or RFC 3339.")]

app = typer.Typer(no_args_is_help=True, help="Look at dead letters, and try them again.")


@app.command("list")
def list_letters(
    code: Codes = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many: the newest, the newest last.")] = 100,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many there are of each error code.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters: where they are, their error code, and the record they came from."""
    pick = Pick(codes=code or (), since=None if since is None else parse_since(since))
    if counts:
        show_counts(asyncio.run(_count(pick)), as_json=as_json)
    else:
        show_newest(asyncio.run(_newest(pick, limit)), as_json=as_json)


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `dlq list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: its headers, and the original value as it came."""
    pick = Pick(place=parse_place(place))

    async def read() -> Letter | None:
        async for found in read_letters(read_settings().kafka, pick):
            return found
        return None

    found = asyncio.run(read())
    if found is None:
        raise CheckFailed(f"no dead letter at {place}", remedy="`deeptrace dlq list` shows which there are.")
    show_letter(found[0], as_json=as_json)


app.command("replay")(replay.replay)


def show_newest(newest: Newest, *, as_json: bool) -> None:
    """Print what `newest` kept, and beside the result how many it left out."""
    if as_json:
        for record, letter in newest.letters:
            print_json(summary(letter, place=place_of(record)))
    else:
        out.print(letter_table(newest.letters), markup=False)
        out.print(f"{newest.total} dead letters", highlight=False)
    if left_out := newest.total - len(newest.letters):
        err.print(f"{left_out} older dead letters left out; see --limit", highlight=False)


def show_counts(counts: Counts, *, as_json: bool) -> None:
    """Print how many letters have each code, the most frequent first, and the times of the first and the last."""
    table = Table("code", "count", "first", "last", box=None)
    for code, count in counts.letters.most_common():
        first, last = (rfc3339(moment) for moment in counts.times[code])
        if as_json:
            print_json({"code": code, "count": count, "first": first, "last": last})
        else:
            table.add_row(printable(code), str(count), first, last)
    if not as_json:
        out.print(table, markup=False)


def show_letter(record: Record, *, as_json: bool) -> None:
    """Print one letter whole."""
    if as_json:
        print_json(whole(record, place=place_of(record)))
        return
    for name, value in record.headers:
        text = header_text(value)
        shown = "(null)" if text is None else text
        out.print(printable(f"{name}: {shown}"), markup=False, highlight=False, soft_wrap=True)
    out.print()
    body = (record.value or b"").decode(errors="backslashreplace")
    out.print(printable(body, keep=LAYOUT), markup=False, highlight=False, soft_wrap=True)


def letter_table(letters: Iterable[Letter]) -> Table:
    """Return one line a letter."""
    table = Table("letter", "code", "stage", "tries", "from", "message", box=None)
    for record, letter in letters:
        origin = f"{letter.topic}/{letter.partition}/{letter.offset}"
        cells = (place_of(record), letter.code, letter.stage, str(letter.attempts), origin, letter.message)
        table.add_row(*map(printable, cells))
    return table


async def _newest(pick: Pick, limit: int) -> Newest:
    newest = Newest(limit)
    async for record, letter in read_letters(read_settings().kafka, pick):
        newest.add(record, letter)
    return newest


async def _count(pick: Pick) -> Counts:
    counts = Counts()
    async for record, letter in read_letters(read_settings().kafka, pick):
        counts.add(record, letter)
    return counts
