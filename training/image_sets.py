"""Which images of a manifest are judged, as which classes of a checkpoint."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from schemas.errors import UsageError
from training.items import units_of
from training.manifest import Manifest
from training.served import UNKNOWN, Image

UNSEEN_GENERATOR = "unseen_generator"


def images_of(manifest: Manifest, split: str, classes: Sequence[str]) -> list[Image]:
    """Return the images of a split. Only in `unseen_generator` may there be classes that the checkpoint does not know.

    Raises `UsageError` naming them for any other split.
    """
    rows = manifest.of(split)
    strange = Counter(row.label for row in rows if row.label not in classes)
    if strange and split != UNSEEN_GENERATOR:
        raise UsageError(
            f"split {split} has classes that the checkpoint was not taught: {', '.join(sorted(strange))}",
            why=f"it knows {', '.join(classes)}",
            remedy="Give the checkpoint that was trained on this manifest, or put those rows into the split `unseen_generator`.",
        )
    number = {name: label for label, name in enumerate(classes)}
    return [
        Image(manifest.path(row), row.file, number.get(row.label, UNKNOWN), unit)
        for row, unit in zip(rows, units_of(rows), strict=True)
    ]


def require_classes(images: Iterable[Image], classes: Sequence[str], *, split: str, least: int) -> None:
    """Raise `UsageError` unless every class has at least `least` images."""
    counts = Counter(image.label for image in images)
    short = {name: counts[label] for label, name in enumerate(classes) if counts[label] < least}
    if short:
        raise UsageError(
            f"split {split} has too few images of {', '.join(short)}",
            why=", ".join(f"{count} of {name}" for name, count in short.items()) + f"; {least} a class are needed",
            remedy="Add images of them, give the split a larger share of the groups (`data.calibration_share`), or use the manifest that "
            "the checkpoint was trained on.",
        )


def drawn(images: Sequence[Image], most_a_class: int, *, seed: int) -> list[Image]:
    """Return at most so many images of each class, drawn by hash: the same ones whatever else is in the set."""
    ranked = sorted(images, key=lambda image: hashlib.sha256(f"{seed} {image.name}".encode()).digest())
    taken: Counter[int] = Counter()
    chosen: set[str] = set()
    for image in ranked:
        if taken[image.label] < most_a_class:
            taken[image.label] += 1
            chosen.add(image.name)
    return [image for image in images if image.name in chosen]
