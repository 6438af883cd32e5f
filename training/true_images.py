"""The check that keeps a simulated checkpoint honest: true images, listed in a manifest that the user has.

Nothing here is ever trained on, and no picture is shown. For a checkpoint of simulated images the figure to expect is chance.
"""

import csv
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from model.network import Ensemble
from model.pixels import preprocess
from model.policy import PixelPolicy
from schemas.errors import Rejection, UsageError
from schemas.verdict import REAL
from training.audit import CANONICAL_QUALITY
from training.corpus.build import Map
from training.corpus.files import jpeg
from training.corpus.laundering import decoded
from training.intervals import cluster_bootstrap
from training.metrics import Ints, auroc, balanced_accuracy
from training.report.figures import Rules, a_figure
from training.report.schema import TrueImages
from training.scores import Advance, judge
from training.served import Image, Refused, Seen

CANONICAL: Final = "canonical"
_NOTHING: Final = (
    "Chance is expected and says nothing: this checkpoint was trained on simulated images only. A figure away from chance would be luck, or "
    "something other than generators (the photographs and the generated images come from different people and look different)."
)
_LITTLE: Final = "Each source is one unit of the interval. Sources differ in more than their generator, so this is a pilot and not a benchmark."


def true_images(path: Path, classes: Sequence[str]) -> list[Image]:
    """Return the images of a manifest with a class of ours; a unit is a repository.

    Columns: `file`, `class`, and where they are there `role` (only `pixel` is judged) and `repo` or `source`. Raises `UsageError` for a file that
    is no such list.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the list of true images {path} cannot be read", why=str(error), remedy="Correct `evaluate.true_images`."
        ) from error
    if rows and not {"file", "class"} <= rows[0].keys():
        raise UsageError(
            f"the list of true images {path} lacks the columns file and class", remedy="Correct `evaluate.true_images`."
        )
    return [
        Image(path.parent / row["file"], row["file"], classes.index(row["class"]), _source(row))
        for row in rows
        if row.get("role", "pixel") == "pixel" and row["class"] in classes
    ]


def true_image_figures(
    network: Ensemble,
    images: Sequence[Image],
    ordered_map: Map,
    rules: Rules,
    *,
    policy: PixelPolicy,
    simulated: bool,
    advance: Advance = lambda _: None,
) -> TrueImages:
    """Judge true images after canonicalisation: native crops, every one written again as the same JPEG. Intervals draw whole sources again.

    An image that the policy rejects is counted, not judged. Raises `UsageError` where none can be judged.
    """
    shown = zip(images, ordered_map(partial(_canonical, policy=policy), images), strict=True)
    found = judge(network, shown, CANONICAL, advance=advance)
    probs, labels, real = found.probs(rules.temperatures), found.labels, found.classes.index(REAL)

    def measure(rows: Ints) -> dict[str, float]:
        return {
            "balanced_accuracy": balanced_accuracy(probs[rows], labels[rows]),
            "auroc": auroc(1 - probs[rows, real], labels[rows] != real),
        }

    edges = cluster_bootstrap(measure, found.units, seed=rules.seed, rounds=rules.rounds)
    values = measure(np.arange(len(labels)))
    counts = np.bincount(labels, minlength=len(found.classes))
    return TrueImages(
        n=len(labels),
        by_class={name: int(count) for name, count in zip(found.classes, counts, strict=True)},
        sources=len(np.unique(found.units)),
        refused=len(found.refused),
        chance={"balanced_accuracy": round(1 / max(1, int((counts > 0).sum())), 4), "auroc": 0.5},
        reading=_NOTHING if simulated else _LITTLE,
        **{name: a_figure(value, edges.get(name)) for name, value in values.items()},
    )


def _source(row: dict[str, str]) -> str:
    return row.get("repo") or row.get("source") or row["file"]


def _canonical(image: Image, *, policy: PixelPolicy) -> Seen | Refused:
    try:
        data = image.path.read_bytes()
        pixels = preprocess(data, policy, seed=hashlib.sha256(data).digest())
    except Rejection as rejection:
        return Refused(rejection.code)
    except OSError as error:
        raise UsageError(
            f"{image.name} cannot be read",
            why=error.strerror or type(error).__name__,
            remedy="Correct `evaluate.true_images`.",
        ) from error
    crops = np.stack([decoded(jpeg(crop, CANONICAL_QUALITY)) for crop in pixels.crops])
    return Seen(crops, decoded(jpeg(pixels.view, CANONICAL_QUALITY)))
