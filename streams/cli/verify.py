"""`deeptrace verify`: a verdict recomputed from the stored image by the model that gave it."""

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from model.classifier import Classifier
from schemas import topics
from schemas.errors import CheckFailed, EvidenceGone, MessageInvalid, ObjectNotFound, ObjectTooLarge, UsageError
from schemas.identity import OUTCOME_ID_LENGTH
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.incoming import Record
from schemas.verdict import Verdict
from storage.memory import MemoryStore
from streams.assembly import make_decoders, make_registry, make_store
from streams.cli.console import AsJson, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.cli.outcome import HEX, read_settled, stored_outcome
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.pipeline import Delivery, Pipeline
from streams.releases.verification import Row, held_against, largest_gap
from streams.settings import Settings

EXIT_DIFFERENT = 3
SHOWN = 48  # characters of a value in the table


def verify(
    verdict: Annotated[
        str, typer.Argument(metavar="ID_OR_FILE", help="A verdict's outcome id, or a file with the verdict as JSON.")
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint that judged; unset: it is looked for in the registry.", exists=True),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="How far a probability may differ; unset: 1e-5 on a CPU, 2e-2 on a GPU (bfloat16)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the stored image again with the model that gave the verdict, and compare. Exits with 3 when anything differs.

    With 65 when image or model are gone, 69 when the store is away. Run it with the workers' settings: a `min_confidence` that has
    changed changes verdicts. One that was given on a GPU and is verified on a CPU needs --tolerance 0.02.
    """
    stored = _read(verdict)
    settings = read_settings(
        {
            "kafka": {"retry_delays_s": []},
            "pipeline": {"stability": "off" if stored.stability is None else "all"},
        }
    )
    data = _image(settings, stored)
    with _model(settings, stored, checkpoint) as classifier:
        again = asyncio.run(_judge(settings, stored, data, classifier))
        allowed = _tolerance(classifier) if tolerance is None else tolerance
    rows = held_against(stored, again, tolerance=allowed)
    same = all(row.same for row in rows)
    gap = largest_gap(stored, again)
    if as_json:
        print_json(_as_json(stored, rows, allowed, gap))
    else:
        _show(rows)
        said = "the same" if same else "not the same"
        out.print(f"{said}: largest difference of a probability {gap:.2g}, allowed {allowed:g}", highlight=False)
    if not same:
        raise typer.Exit(EXIT_DIFFERENT)


def _read(text: str) -> Verdict:
    """Return the verdict with this outcome id, as it is settled, or the one in this file, as `watch --json` or `outcome --json` write it."""
    if len(text) == OUTCOME_ID_LENGTH and HEX.issuperset(text):
        settled = read_settled(stored_outcome(text).data, text)
        if settled.kind != "verdict":
            raise CheckFailed(f"the outcome {text} is a dead letter", remedy=f"`deeptrace outcome {text}` shows it.")
        return Verdict.from_bytes(settled.value or b"")
    path = Path(text)
    if not path.is_file():
        raise UsageError(f"{text}: neither an outcome id nor a file", remedy="An id has 40 hex digits, in lower case.")
    try:
        found: Any = orjson.loads(path.read_bytes())
        value = found.get("value", found) if isinstance(found, dict) else found
        return Verdict.from_bytes(orjson.dumps(value))
    except (orjson.JSONDecodeError, MessageInvalid, OSError) as error:
        raise UsageError(f"{text} holds no verdict", why=str(error), remedy="Give one verdict, as JSON.") from error


def _image(settings: Settings, stored: Verdict) -> bytes:
    """Return the bytes that were judged.

    Raises:
        EvidenceGone: they are no longer there.
        StoreUnavailable, ObjectDenied, BucketForbidden
    """
    store = make_store(settings)
    where = stored.object
    try:
        data = store.get(
            where.bucket,
            where.key,
            version_id=where.version_id,
            max_bytes=settings.store.max_bytes,
            deadline_s=settings.store.deadline_s,
        ).data
    except (ObjectNotFound, ObjectTooLarge) as error:
        raise EvidenceGone("the image is no longer there", why=error.why, remedy="Restore the object.") from error
    finally:
        store.close()
    if hashlib.sha256(data).hexdigest() != where.sha256:
        raise EvidenceGone(
            "the object is not the image that was judged",
            why=f"its SHA-256 is not {where.sha256}",
            remedy="Somebody replaced it: restore the old object. Keep versions in the bucket to be safe from that.",
        )
    return data


@contextmanager
def _model(settings: Settings, stored: Verdict, checkpoint: Path | None) -> Iterator[Classifier]:
    """Yield the very model that judged.

    Raises:
        EvidenceGone: it is neither in the registry nor at hand.
        CheckpointRefused: `checkpoint` is another.
    """
    if stored.model.kind == "fake":
        from model.fake import FakeClassifier

        yield FakeClassifier(null=settings.model.classifier == "null")
        return
    from model.checkpoint import load_classifier

    with tempfile.TemporaryDirectory(prefix="deeptrace-verify-") as folder:
        yield load_classifier(
            checkpoint or _file(settings, stored, Path(folder)),
            device=settings.model.device,
            expected_sha256=stored.model.sha256,
            threads=settings.model.threads,
            version=stored.model.version,
        )


def _file(settings: Settings, stored: Verdict, folder: Path) -> Path:
    from model.checkpoint import DEMO_CHECKPOINT

    sha256 = stored.model.sha256
    for path in filter(None, (settings.model.checkpoint, DEMO_CHECKPOINT)):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    registry = make_registry(settings)
    try:
        release = registry.with_sha256(sha256, version=stored.model.version)
        if release is None:
            raise EvidenceGone(
                f"the model {stored.model.version} is not to be had",
                why=f"no release in bucket {registry.bucket} has the SHA-256 {sha256}",
                remedy="Give its file with --checkpoint.",
            )
        return registry.fetch(release, folder)
    finally:
        registry.close()


async def _judge(settings: Settings, stored: Verdict, data: bytes, classifier: Classifier) -> Verdict:
    """Return the verdict that the worker's own pipeline gives the image now; nothing is written anywhere."""
    bucket, key = settings.store.image_buckets[0], "image"
    store = MemoryStore({bucket, settings.store.overlay_bucket})
    store.put(bucket, key, data, content_type="application/octet-stream", deadline_s=1)
    objects = Objects(store, settings.store)
    decoders = make_decoders(settings, stored.model.preprocess_id)
    pipeline = Pipeline(settings, objects=objects, decoder=decoders, classifier=classifier, metrics=WorkerMetrics())
    ref = ImageRef(
        event_id=stored.event_id,
        image_id=stored.image_id,
        object=ObjectRef(bucket=bucket, key=key),
        want=Want(overlay="never"),
    )
    try:
        record = Record(topic=topics.IMAGES, partition=0, offset=0, key=None, value=ref.to_bytes())
        [(outcome, _)] = await pipeline.outcomes(Delivery(record))
    finally:
        await pipeline.close()
        await asyncio.to_thread(decoders.close)
        objects.close()
    assert isinstance(outcome, Outcome), "without retry topics nothing is postponed"
    if outcome.verdict is None:
        raise CheckFailed(
            "the image cannot be judged any more",
            why=str(outcome.error),
            remedy="Verify with the release of DeepTrace, and the limits, that judged it.",
        )
    return outcome.verdict


def _tolerance(classifier: Classifier) -> float:
    device = getattr(classifier, "device", None)
    if device is None:
        return 0.0  # the fake classifier: to the last digit
    from model.ensemble import CPU_TOLERANCE, CUDA_TOLERANCE

    return CUDA_TOLERANCE if device.type == "cuda" else CPU_TOLERANCE


def _show(rows: list[Row]) -> None:
    table = Table("", "field", "verdict", "again", box=None)
    for row in rows:
        mark, style = ("ok", None) if row.same else ("DIFFERS", "bold red")
        table.add_row(mark, printable(row.field), _short(row.stored), _short(row.again), style=style)
    out.print(table, markup=False)


def _short(text: str) -> str:
    return printable(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")


def _as_json(stored: Verdict, rows: list[Row], tolerance: float, gap: float) -> dict[str, Any]:
    return {
        "outcome_id": stored.outcome_id,
        "same": all(row.same for row in rows),
        "tolerance": tolerance,
        "largest_difference": gap,
        "differs": [{"field": row.field, "verdict": row.stored, "again": row.again} for row in rows if not row.same],
    }
