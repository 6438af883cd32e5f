"""`deeptrace classify`: files on this machine through the very pipeline of the worker, without broker or store."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from schemas import topics
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.incoming import Record
from schemas.verdict import is_simulated
from streams.assembly import make_classifier, make_decoders
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.cli.local_files import PREFIX, LocalFiles
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.pipeline import Delivery, Pipeline
from streams.publishing import files_under
from streams.settings import Settings
from streams.verdict_words import confidence, one_of, why

EXIT_SOME_BAD = 65
Show = Callable[[Path, Outcome], None]


def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Image files or folders.")],
    overlay: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write Grad-CAM overlays into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge image files. Exits with 65 when one of them cannot be judged."""
    settings = read_settings({"model": {"allow_simulated": True}, "kafka": {"retry_delays_s": []}})
    paths = list(files_under(files))
    if overlay is not None:
        overlay.mkdir(parents=True, exist_ok=True)
    table = Table("file", "verdict", "source", "confidence", "one of", "why", "ms", box=None)
    bad, simulated = 0, False

    def show(path: Path, outcome: Outcome) -> None:
        nonlocal bad, simulated
        bad += outcome.error is not None
        simulated = simulated or (outcome.verdict is not None and is_simulated(outcome.verdict.model.training_data))
        if as_json:
            print_json(_as_json(path, outcome))
        else:
            table.add_row(*_row(path, outcome))
            if outcome.error is not None:
                err.print(printable(f"{path}: {outcome.error}"), markup=False, highlight=False, soft_wrap=True)

    asyncio.run(_judge(settings, paths, overlay, show))
    if not as_json:
        out.print(table, markup=False)
        if simulated:
            err.print(
                "Judged by a checkpoint trained on simulated images: it says nothing about true generators.",
                style="yellow",
            )
    if bad:
        raise typer.Exit(EXIT_SOME_BAD)


async def _judge(settings: Settings, paths: Sequence[Path], overlays: Path | None, show: Show) -> None:
    """Judge the files, `in_flight` of them at once, and show each outcome in the order of the files."""
    store = LocalFiles(settings.store, paths)
    objects = Objects(store, settings.store)
    classifier = make_classifier(settings)
    decoders = make_decoders(settings, classifier.info.preprocess_id)
    pipeline = Pipeline(settings, objects=objects, decoder=decoders, classifier=classifier, metrics=WorkerMetrics())

    async def judge_file(number: int) -> Outcome:
        key = f"{PREFIX}{number}"
        ref = ImageRef(
            event_id=key,
            image_id=key,
            object=ObjectRef(bucket=store.bucket, key=key),
            want=Want(overlay="always" if overlays else "never"),
        )
        record = Record(topic=topics.IMAGES, partition=0, offset=number, key=None, value=ref.to_bytes())
        [(outcome, _)] = await pipeline.outcomes(Delivery(record))
        assert isinstance(outcome, Outcome), "without retry topics nothing is postponed"
        explanation = outcome.verdict.explanation if outcome.verdict else None
        if overlays is not None and explanation is not None and explanation.key is not None:
            picture = store.take_overlay(explanation.key)
            await asyncio.to_thread((overlays / f"{number:04d}-{paths[number].stem}.webp").write_bytes, picture)
        return outcome

    under_way: deque[tuple[Path, asyncio.Task[Outcome]]] = deque()
    try:
        for number, path in enumerate(paths):
            under_way.append((path, asyncio.create_task(judge_file(number))))
            if len(under_way) >= settings.pipeline.in_flight:
                await _show_next(under_way, show)
        while under_way:
            await _show_next(under_way, show)
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
        await pipeline.close()
        await asyncio.to_thread(decoders.close)
        objects.close()


async def _show_next(under_way: deque[tuple[Path, asyncio.Task[Outcome]]], show: Show) -> None:
    path, task = under_way.popleft()
    show(path, await task)


def _as_json(path: Path, outcome: Outcome) -> dict[str, object]:
    file = os.fsencode(path).decode(errors="backslashreplace")  # a name need not be UTF-8, JSON must
    if outcome.verdict is not None:
        return {"file": file, **outcome.verdict.to_json()}
    error = outcome.error
    return {"file": file, "error": error.code if error else "", "message": str(error)}


def _row(path: Path, outcome: Outcome) -> tuple[str, ...]:
    verdict = outcome.verdict
    if verdict is None:
        return printable(str(path)), "cannot be judged", "-", "", "", outcome.error.code if outcome.error else "", ""
    return (
        printable(str(path)),
        verdict.verdict,
        verdict.predicted_source or "-",
        confidence(verdict),
        one_of(verdict),
        why(verdict),
        f"{verdict.timing.processing_ms:.0f}",
    )
