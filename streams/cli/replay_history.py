"""`deeptrace replay`: verdicts of the past judged again, by the configured or another model. Dead letters are `deeptrace dlq replay`'s."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from schemas.errors import UsageError
from schemas.verdict import is_simulated
from streams.assembly import make_classifier, make_decoders
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, err
from streams.cli.console import settings as read_settings
from streams.cli.replay_result import say_estimate
from streams.cli.replay_session import Order, look, replay_once
from streams.releases.name import ReleaseName
from streams.rescoring.selection import Selection
from streams.rescoring.terms import checked_name
from streams.rescoring.throttle import parse_rate
from streams.rescoring.windows import tumbling

RATE: Final = "20/s"
LOWEST_PRIORITY: Final = 19
SIGNALLED: Final = 128
"""What a shell adds to the number of the signal that ended a command."""


def replay(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What this replay is called; the same name goes on with it.")
    ],
    begin: Annotated[
        str | None, typer.Option("--from", help="Images from this moment on (event time): 2h, 3d, or RFC 3339.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Images before this moment.")] = None,
    model: Annotated[str | None, typer.Option(help="Verdicts that this model version gave.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Images whose object key starts so.")] = None,
    bucket: Annotated[str | None, typer.Option(help="Images of this bucket.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Images of this tenant.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is on the verdicts topic.")] = False,
    release: Annotated[
        str | None,
        typer.Option("--with", metavar="[MODEL@]VERSION", help="Judge with this release, not the configured one."),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Judge with this checkpoint file.", exists=True)] = None,
    overlays: Annotated[
        bool, typer.Option("--overlays", help="Render overlays, too, where verdicts are not `real`.")
    ] = False,
    rate: Annotated[str, typer.Option(metavar="N[/s|/m|/h]|max", help="Begin at most so many images.")] = RATE,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="1h|1d", help="Also count the new verdicts in windows, for the report; live ones take in none."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge at most so many images in this run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what there is to do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge history again and publish what comes of it to `deeptrace.verdicts.replay.v1`; live verdicts and windows stay as they are.

    What is chosen, with which model, and where the range ends is fixed at the first run of a NAME. Ctrl-C ends a run in order; the same command
    goes on, also after a crash. At the end: how the new verdicts differ from the old ones.
    """
    chosen = Selection(
        since=_moment(begin), until=_moment(end), model=model, prefix=prefix, bucket=bucket, tenant=tenant
    )
    selection = _selection(chosen, everything=everything)
    kind = None if windows is None else tumbling(windows)
    order = Order(checked_name(name), selection, begin, end, overlays, parse_rate(rate), limit, kind)
    settings = read_settings(_of_model(release, checkpoint))
    if dry_run:
        found = asyncio.run(look(settings, order))
        say_estimate(order.name, order.rate, found, as_json=as_json)
        return
    if hasattr(os, "nice"):
        os.nice(LOWEST_PRIORITY)  # decoders and the model's threads inherit it
    classifier = make_classifier(settings)
    if is_simulated(classifier.info.training_data):
        err.print("This checkpoint is trained on simulated images: what it says means nothing.", style="yellow")
    decoders = make_decoders(settings, classifier.info.preprocess_id)
    try:
        signum = asyncio.run(replay_once(settings, order, classifier, decoders, as_json=as_json))
    finally:
        decoders.close()
    if signum:
        raise typer.Exit(SIGNALLED + signum)


def _selection(chosen: Selection, *, everything: bool) -> Selection:
    """Return what was chosen. Raises UsageError where that is nothing, or cannot be."""
    if chosen.takes_all != everything:
        raise UsageError(
            "--all goes with no other condition" if everything else "say what is to be judged again",
            remedy="Give --from, --to, --model, --prefix, --bucket or --tenant; or --all.",
        )
    if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
        raise UsageError("--from must lie before --to")
    return chosen


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_since(text)


def _of_model(release: str | None, checkpoint: Path | None) -> dict[str, dict[str, Any]]:
    if release is not None and checkpoint is not None:
        raise UsageError("give --with or --checkpoint, not both")
    if release is None and checkpoint is None:
        return {"model": {"shadow_release": None}}
    named = None if release is None else str(ReleaseName.of(release))
    return {
        "model": {
            "classifier": "ensemble",
            "release": named,
            "checkpoint": checkpoint,
            "sha256": None,
            "shadow_release": None,
        }
    }
