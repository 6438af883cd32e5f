"""`deeptrace classify`: files on this machine through the very pipeline of the worker, without broker or store."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from schemas import topics
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.incoming import Record
from storage.memory import MemoryStore
from streams.assembly import make_classifier, make_decoders
from streams.cli.console import AsJson, err, out, print_json
from streams.cli.console import settings as read_settings
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.pipeline import Pipeline
from streams.publishing import files_under
from streams.settings import Settings

EXIT_SOME_BAD = 65


def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Image files or folders.")],
    overlay: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write Grad-CAM overlays into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge image files. Exits with 65 when one of them cannot be judged."""
    settings = read_settings({"model": {"allow_simulated": True}})
    paths = list(files_under(files))
    if overlay is not None:
        overlay.mkdir(parents=True, exist_ok=True)
    outcomes = asyncio.run(_judge(settings, paths, overlay))
    if as_json:
        for path, outcome in outcomes:
            print_json(_as_json(path, outcome))
    else:
        _show(outcomes)
    if any(outcome.error is not None for _, outcome in outcomes):
        raise typer.Exit(EXIT_SOME_BAD)


async def _judge(settings: Settings, paths: list[Path], overlays: Path | None) -> list[tuple[Path, Outcome]]:
    bucket, overlay_bucket = settings.store.image_buckets[0], settings.store.overlay_bucket
    store = MemoryStore(allowed_buckets=frozenset({bucket, overlay_bucket}))
    store.ensure_bucket(bucket)
    store.ensure_bucket(overlay_bucket)
    objects = Objects(store, settings.store)
    classifier = make_classifier(settings)
    decoders = make_decoders(settings, classifier.info.preprocess_id)
    pipeline = Pipeline(settings, objects=objects, decoder=decoders, classifier=classifier, metrics=WorkerMetrics())
    room = asyncio.Semaphore(settings.pipeline.in_flight)

    async def judge_file(number: int, path: Path) -> Outcome:
        async with room:
            key = f"file-{number}"
            await objects.write(bucket, key, await asyncio.to_thread(path.read_bytes), "application/octet-stream")
            ref = ImageRef(
                event_id=key,
                image_id=key,
                object=ObjectRef(bucket=bucket, key=key),
                want=Want(overlay="always" if overlays else "never"),
            )
            record = Record(topic=topics.IMAGES, partition=0, offset=number, key=None, value=ref.to_bytes())
            [outcome] = await pipeline.outcomes(record)
            explanation = outcome.verdict.explanation if outcome.verdict else None
            if overlays is not None and explanation is not None and explanation.key is not None:
                picture = store.get(overlay_bucket, explanation.key, max_bytes=settings.store.max_bytes, deadline_s=1)
                await asyncio.to_thread((overlays / f"{number:04d}-{path.stem}.webp").write_bytes, picture.data)
            store.delete(bucket, key)
            return outcome

    try:
        outcomes = await asyncio.gather(*(judge_file(number, path) for number, path in enumerate(paths)))
    finally:
        await pipeline.close()
        await asyncio.to_thread(decoders.close)
        objects.close()
    return list(zip(paths, outcomes, strict=True))


def _as_json(path: Path, outcome: Outcome) -> dict[str, object]:
    if outcome.verdict is not None:
        return {"file": str(path), **outcome.verdict.to_json()}
    error = outcome.error
    return {"file": str(path), "error": error.code if error else "", "message": str(error)}


def _show(outcomes: list[tuple[Path, Outcome]]) -> None:
    table = Table("file", "verdict", "source", "confidence", "ms", box=None)
    simulated = False
    for path, outcome in outcomes:
        verdict = outcome.verdict
        if verdict is None:
            table.add_row(str(path), "cannot be judged", outcome.error.code if outcome.error else "", "", "")
            continue
        simulated = simulated or verdict.model.training_data.startswith("simulated")
        confidence = "" if verdict.confidence is None else f"{verdict.confidence:.1%}"
        milliseconds = f"{verdict.timing.processing_ms:.0f}"
        table.add_row(str(path), verdict.verdict, verdict.predicted_source or "-", confidence, milliseconds)
    out.print(table, markup=False)
    if simulated:
        err.print(
            "Judged by a checkpoint trained on simulated images: it says nothing about true generators.", style="yellow"
        )
