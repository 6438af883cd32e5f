"""`deeptrace explain`: why one image got its verdict, in one figure."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.classifier import Classifier
from model.pixels import Pixels
from schemas import topics
from schemas.errors import CheckFailed, UsageError
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.incoming import Record
from schemas.verdict import Verdict, is_simulated
from streams.assembly import make_classifier, make_decoders
from streams.cli.console import AsJson, err, out, print_error, print_json
from streams.cli.console import settings as read_settings
from streams.cli.local_files import PREFIX, LocalFiles
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.pipeline import Decoder, Delivery, Pipeline
from streams.settings import Settings

if TYPE_CHECKING:
    from model.ensemble import EnsembleClassifier

EXIT_BAD = 65
FORMATS = (".png", ".webp")


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One image file.")],
    target: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Show what speaks for this class; unset: the most probable one."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--out", metavar="FIGURE", help="Where the figure goes (.png or .webp); unset: explained.png."),
    ] = None,
    lime: Annotated[
        bool, typer.Option("--lime", help="Add LIME superpixels for the whole ensemble (extra `lime`; takes seconds).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw why an image got its verdict: a map for each branch, each held against random maps. Exits with 65 when it cannot be judged."""
    path = Path("explained.png") if figure is None else figure
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: figures are PNG or WebP", remedy="Let the name end in .png or .webp.")
    settings = read_settings(
        {"model": {"allow_simulated": True}, "kafka": {"retry_delays_s": []}, "pipeline": {"faithfulness": False}}
    )
    classifier = _ensemble(make_classifier(settings))
    outcome, pixels = asyncio.run(_judge(settings, file, classifier))
    if outcome.verdict is None:
        if as_json:
            print_json({"file": str(file), "error": outcome.code, "message": str(outcome.error)})
        if outcome.error is not None:
            print_error(outcome.error)
        raise typer.Exit(EXIT_BAD)
    _explain(classifier, pixels, outcome.verdict, path, target=target, lime=lime, as_json=as_json)


def _explain(
    classifier: "EnsembleClassifier",
    pixels: Pixels | None,
    verdict: Verdict,
    path: Path,
    *,
    target: str | None,
    lime: bool,
    as_json: bool,
) -> None:
    from model.explain.explanation import explain as explained
    from model.explain.figure import encode
    from streams.cli.explain_figure import WARNING, draw, signed, to_json

    if pixels is None or verdict.verdict == "not_assessable":
        raise CheckFailed(
            "there is nothing to explain",
            why=f"the image is not assessable: {', '.join(verdict.reasons)}",
            remedy="Give a larger or a whole picture.",
        )
    explanation = explained(classifier, pixels, target=target, lime=lime)
    picture = draw(pixels.thumb, verdict, explanation)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture, "webp" if path.suffix.lower() == ".webp" else "png"))
    if as_json:
        print_json({"figure": str(path), **to_json(verdict, explanation)})
        return
    source = verdict.predicted_source or "-"
    out.print(f"{verdict.verdict}  {source}  p(AI) {verdict.p_ai or 0:.1%}  for {explanation.target}:", highlight=False)
    for one in explanation.maps:
        measured = "" if one.faithfulness is None else f"faithfulness {signed(one.faithfulness)}"
        out.print(f"  {one.part:<9} {one.method:<19} {one.status:<12} {measured}", highlight=False)
    out.print(f"figure in {path}", markup=False, highlight=False, soft_wrap=True)
    if is_simulated(verdict.model.training_data):
        err.print(WARNING, style="yellow")


def _ensemble(classifier: Classifier) -> "EnsembleClassifier":
    from model.ensemble import EnsembleClassifier

    if not isinstance(classifier, EnsembleClassifier):
        raise UsageError(
            "there is no network to explain",
            why=f"the configured classifier is {classifier.info.version}, which judges nothing",
            remedy="Unset DEEPTRACE_MODEL__CLASSIFIER, or set it to ensemble.",
        )
    return classifier


class _Keeping:
    """Hands on what a decoder returns, and keeps it: the maps are of the very pixels that were judged."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.pixels: Pixels | None = None

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:
        """As the decoder does."""
        self.pixels = await self._decoder.decode(data, seed=seed)
        return self.pixels


async def _judge(settings: Settings, file: Path, classifier: "EnsembleClassifier") -> tuple[Outcome, Pixels | None]:
    """Judge the file as `deeptrace classify` does, and return its pixels too; None where it has none."""
    store = LocalFiles(settings.store, [file])
    objects = Objects(store, settings.store)
    decoders = make_decoders(settings, classifier.info.preprocess_id)
    keeping = _Keeping(decoders)
    pipeline = Pipeline(settings, objects=objects, decoder=keeping, classifier=classifier, metrics=WorkerMetrics())
    key = f"{PREFIX}0"
    place = ObjectRef(bucket=store.bucket, key=key)
    ref = ImageRef(event_id=key, image_id=key, object=place, want=Want(overlay="never"))
    try:
        record = Record(topic=topics.IMAGES, partition=0, offset=0, key=None, value=ref.to_bytes())
        [(outcome, _)] = await pipeline.outcomes(Delivery(record))
        assert isinstance(outcome, Outcome), "without retry topics nothing is postponed"
        return outcome, keeping.pixels
    finally:
        await pipeline.close()
        await asyncio.to_thread(decoders.close)
        objects.close()
