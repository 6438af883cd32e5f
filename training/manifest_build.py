"""From labelled files to a manifest: what each file is, which cannot be used and why, and which are nearly the same picture."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from schemas.errors import UsageError
from schemas.verdict import REAL
from training.inspection import Shown, inspect_files
from training.manifest import Manifest, Row
from training.near_duplicates import near_groups


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not in the manifest, and why."""

    file: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Built:
    """A manifest whose rows are not split yet, and what was left out of it."""

    manifest: Manifest
    refused: tuple[Refused, ...]


def build_manifest(
    rows: Sequence[Row],
    root: Path,
    *,
    near_duplicate_bits: int,
    processes: int | None = None,
    refused: Sequence[Refused] = (),
    shown: Shown = lambda: None,
) -> Built:
    """Read every file of `rows` (relative to `root`) and fill in its facts. What cannot be read is left out, and told after what is `refused` already.

    Raises `UsageError` when nothing is left, one class only, or no photographs.
    """
    found = inspect_files([root / row.file for row in rows], processes=processes, shown=shown)
    left_out = list(refused)
    sound: list[Row] = []
    for row, facts in zip(rows, found, strict=True):
        if isinstance(facts, str):
            left_out.append(Refused(row.file, row.label, facts))
        elif row.sha256 and row.sha256 != facts.sha256:
            left_out.append(Refused(row.file, row.label, "its bytes are not those whose hash is listed"))
        else:
            sound.append(replace(row, **asdict(facts)))
    contradicted = _contradictions(sound)
    names = {one.file for one in contradicted}
    kept = [row for row in sound if row.file not in names]
    left_out += contradicted
    _require_classes(kept, left_out)
    return Built(Manifest(root, tuple(_with_near(kept, near_duplicate_bits))), tuple(left_out))


def write_refused(path: Path, refused: Sequence[Refused]) -> None:
    """Write the list of what was left out; no list where nothing was."""
    if not refused:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "class", "reason"])
        writer.writerows([one.file, one.label, one.reason] for one in refused)


def _contradictions(rows: Sequence[Row]) -> list[Refused]:
    """Refuse all copies of a file that stands under several classes: at most one label is right, and nobody knows which."""
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[row.sha256].add(row.label)
    return [
        Refused(row.file, row.label, f"the same bytes are labelled {' and '.join(sorted(labels[row.sha256]))}")
        for row in rows
        if len(labels[row.sha256]) > 1
    ]


def _require_classes(rows: Sequence[Row], refused: Sequence[Refused]) -> None:
    labels = sorted({row.label for row in rows})
    if not rows:
        raise UsageError(
            f"none of the {len(refused)} files can be used",
            why=f"{refused[0].file}: {refused[0].reason}" if refused else "there are none",
            remedy="Give JPEG, PNG, WebP, GIF or AVIF images.",
        )
    if REAL not in labels:
        raise UsageError(
            f"no class is named `{REAL}`",
            why=f"there are images of {', '.join(labels)} only",
            remedy=f"Put photographs under `{REAL}`: a detector must know what it clears.",
        )
    if len(labels) == 1:
        raise UsageError(
            f"all images are of one class, `{REAL}`",
            why=f"{len(rows)} can be used, {len(refused)} cannot" if refused else "",
            remedy="Add images of at least one generator, under its name.",
        )


def _with_near(rows: Sequence[Row], bits: int) -> list[Row]:
    """Name the groups of near duplicates; an image that is like no other has none."""
    first = near_groups([int(row.dhash, 16) for row in rows], bits)
    shared = {one for place, one in enumerate(first) if one != place}
    return [replace(row, near=f"near-{one:06d}" if one in shared else "") for row, one in zip(rows, first, strict=True)]
