"""`deeptrace dlq`: what could not be judged, and why."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas import topics
from schemas.dead_letter import DeadLetter
from schemas.errors import CheckFailed, UsageError
from schemas.incoming import Record
from streams.cli.console import LAYOUT, AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.topic_reader import read_topics

Letter = tuple[Record, DeadLetter]

app = typer.Typer(no_args_is_help=True, help="Look at dead letters.")


@app.command("list")
def list_letters(
    code: Annotated[str | None, typer.Option(help="Only letters with this error code.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many: the newest, the newest last.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters: where they are, their error code, and the record they came from."""
    _show_newest(
        [pair for pair in asyncio.run(_read()) if code is None or pair[1].code == code], limit, as_json=as_json
    )


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `dlq list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: its headers, and the original value as it came."""
    try:
        partition, offset = (int(part) for part in place.split(":"))
    except ValueError:
        raise UsageError(
            f"{place}: not a place", remedy="Write PARTITION:OFFSET, as `deeptrace dlq list` prints it."
        ) from None
    for record, letter in asyncio.run(_read()):
        if (record.partition, record.offset) == (partition, offset):
            _show(record, letter, as_json=as_json)
            return
    raise CheckFailed(f"no dead letter at {place}", remedy="`deeptrace dlq list` shows which there are.")


def _show_newest(found: list[Letter], limit: int, *, as_json: bool) -> None:
    shown = newest(found, limit)
    if as_json:
        for record, letter in shown:
            print_json(_summary(record, letter))
    else:
        out.print(_table(shown), markup=False)
        out.print(f"{len(found)} dead letters", highlight=False)
    if len(found) > limit:
        err.print(f"{len(found) - limit} older dead letters left out; see --limit", highlight=False)


def newest(letters: list[Letter], limit: int) -> list[Letter]:
    """Return the `limit` newest letters by the time of their records, the newest last."""
    return sorted(letters, key=lambda pair: (pair[0].timestamp, pair[0].partition, pair[0].offset))[-limit:]


def header_text(value: bytes | None) -> str | None:
    """Return a header's value as text; Kafka allows a null value."""
    return None if value is None else value.decode(errors="replace")


async def _read() -> list[Letter]:
    settings = read_settings()
    return [(record, DeadLetter.read(record)) async for record in read_topics(settings.kafka, [topics.DEAD_LETTERS])]


def _table(letters: list[Letter]) -> Table:
    table = Table("letter", "code", "stage", "tries", "from", "message", box=None)
    for record, letter in letters:
        origin = f"{letter.topic}/{letter.partition}/{letter.offset}"
        cells = (_place(record), letter.code, letter.stage, str(letter.attempts), origin, letter.message)
        table.add_row(*map(printable, cells))
    return table


def _show(record: Record, letter: DeadLetter, *, as_json: bool) -> None:
    headers = [(name, header_text(value)) for name, value in record.headers]
    value = (record.value or b"").decode(errors="backslashreplace")
    if as_json:
        print_json({**_summary(record, letter), "headers": headers, "value": value})
        return
    for name, text in headers:
        shown = "(null)" if text is None else text
        out.print(printable(f"{name}: {shown}"), markup=False, highlight=False, soft_wrap=True)
    out.print()
    out.print(printable(value, keep=LAYOUT), markup=False, highlight=False, soft_wrap=True)


def _place(record: Record) -> str:
    return f"{record.partition}:{record.offset}"


def _summary(record: Record, letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": _place(record),
        "code": letter.code,
        "stage": letter.stage,
        "attempts": letter.attempts,
        "outcome_id": letter.outcome_id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "message": letter.message,
    }
