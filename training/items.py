"""The images of a training: which rows of the manifest are learnt from, which are looked at between epochs, and which cannot be read."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.decode import decode
from model.limits import DEFAULT_LIMITS
from schemas.errors import Rejection, UsageError
from schemas.verdict import REAL
from training.corpus.build import Map
from training.corpus.seeds import stream
from training.manifest import Manifest, Row

MOST_UNREADABLE: Final = 0.1  # of the images of a split: more, and it is the data that is at fault
_SHOWN: Final = 5

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Item:
    """One image to learn from. Its random draws depend on `name` and nothing else of it."""

    path: Path
    name: str  # as the manifest has it
    label: int


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a training sees, and never sees: `validation` is a part of the training groups, for early stopping only."""

    classes: tuple[str, ...]
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    unreadable: tuple[str, ...]  # names and reasons
    sha256: str  # of the classes and of the hashes, labels and parts of all images in it

    def counts(self) -> dict[str, int]:
        """Return the number of images to learn from by class."""
        numbers = Counter(item.label for item in self.train)
        return {name: numbers[label] for label, name in enumerate(self.classes)}


def training_set(
    manifest: Manifest, classes: Sequence[str], ordered_map: Map, *, validation_share: float, seed: int, warn: Warn
) -> TrainingSet:
    """Read every image of the split `train` once and part it by group.

    Unreadable images are named in a warning and left out. Raises `UsageError` when the split is empty, has one class or no `real`, when a row's
    class is not among `classes`, or when more than a tenth of the images cannot be read.
    """
    rows = manifest.of("train")
    _require_classes(manifest, rows, classes)
    paths = [(manifest.path(row), row.sha256) for row in rows]
    found = list(ordered_map(_examine, paths))
    bad = [f"{row.file}: {fault}" for row, (_, fault) in zip(rows, found, strict=True) if fault]
    require_readable(bad, len(rows), warn)
    good = [(row, sha256) for row, (sha256, fault) in zip(rows, found, strict=True) if not fault]
    _require_classes(manifest, [row for row, _ in good], classes)
    units = units_of([row for row, _ in good])
    kept_back = _validation_units(zip(units, (row.label for row, _ in good), strict=True), validation_share, seed)
    number = {name: label for label, name in enumerate(classes)}
    train: list[Item] = []
    validation: list[Item] = []
    digest = hashlib.sha256("\n".join(classes).encode())
    for (row, sha256), unit in zip(good, units, strict=True):
        part = validation if unit in kept_back else train
        part.append(Item(manifest.path(row), row.file, number[row.label]))
        digest.update(f"\n{sha256} {row.label} {part is train} {row.file}".encode())
    return TrainingSet(tuple(classes), tuple(train), tuple(validation), tuple(bad), digest.hexdigest())


def units_of(rows: Sequence[Row]) -> list[str]:
    """Return for each row the unit that is never split: images joined by a group or by being near duplicates, through any chain of them."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for row in rows:
        for tie in (f"group {row.group}" if row.group else "", f"near {row.near}" if row.near else ""):
            if tie:
                leader[find(f"file {row.file}")] = find(tie)
    return [find(f"file {row.file}") for row in rows]


def _require_classes(manifest: Manifest, rows: Sequence[Row], classes: Sequence[str]) -> None:
    labels = {row.label for row in rows}
    if not rows:
        split = Counter(row.split or "(none)" for row in manifest.rows)
        raise UsageError(
            "there is nothing to train on",
            why="the manifest has no rows"
            if not split
            else "no row has split `train`; there are " + ", ".join(f"{n} of {name}" for name, n in split.items()),
            remedy="List and split the images: `deeptrace data manifest FOLDER`, one sub-folder a class.",
        )
    if unknown := sorted(labels - set(classes)):
        raise UsageError(
            f"the training images have classes that the network does not: {', '.join(unknown)}",
            why=f"it knows {', '.join(classes)}",
            remedy="Correct the labels, or add the classes with `deeptrace finetune`.",
        )
    if REAL not in labels:
        raise UsageError(
            "the training images hold no photographs",
            why=f"none has the class `{REAL}`, they have {', '.join(sorted(labels))}",
            remedy=f"Add photographs in a folder named `{REAL}`: a detector must know what it clears.",
        )
    if len(labels) == 1:
        raise UsageError(
            "the training images are all of one class",
            why=f"every row has the class `{REAL}`",
            remedy="Add images of at least one generator, in a folder with its name.",
        )


def _examine(file: tuple[Path, str]) -> tuple[str, str]:
    """Return the hash of a file and what is wrong with it, or an empty text."""
    path, expected = file
    try:
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if expected and sha256 != expected:
            return sha256, "its bytes are not those that the manifest lists"
        decode(data, DEFAULT_LIMITS)
    except OSError as error:
        return "", error.strerror or type(error).__name__
    except Rejection as error:
        return sha256, str(error)
    return sha256, ""


def require_readable(bad: Sequence[str], images: int, warn: Warn) -> None:
    """Name what cannot be read in a warning; raises `UsageError` when it is more than a tenth."""
    if not bad:
        return
    listed = "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
    if len(bad) > MOST_UNREADABLE * images:
        raise UsageError(
            f"{len(bad)} of {images} training images cannot be read",
            why=listed,
            remedy="Restore the files, or list them anew: `deeptrace data manifest FOLDER` leaves out what cannot be read.",
        )
    warn(f"left out {len(bad)} of {images} images that cannot be read: {listed}")


def _validation_units(images: Iterable[tuple[str, str]], share: float, seed: int) -> frozenset[str]:
    """Draw the units to keep back from (unit, label) pairs. The last unit of a class is never among them: it must be learnt."""
    labels: dict[str, set[str]] = {}
    for unit, label in images:
        labels.setdefault(unit, set()).add(label)
    left = Counter(label for own in labels.values() for label in own)
    wanted = round(share * len(labels))
    chosen: set[str] = set()
    names = sorted(labels)
    for place in stream(seed, "validation").permutation(len(names)):
        own = labels[names[place]]
        if len(chosen) < wanted and all(left[label] > 1 for label in own):
            chosen.add(names[place])
            left.subtract(own)
    return frozenset(chosen)
