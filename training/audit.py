"""The shortcut audit: can a lookup that never looks at content tell the class? Then no later figure means anything.

It is run on files as found, where it should succeed (so that a reader sees how easily they give themselves away), and on canonical crops,
where it must stay near chance. It runs before every training, which does not start otherwise.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from model.pixels import preprocess
from schemas.errors import CheckFailed, Rejection, UsageError
from training.corpus.build import Map
from training.corpus.files import jpeg
from training.corpus.laundering import decoded
from training.facts import ONE_CROP
from training.items import units_of
from training.manifest import Manifest, Row
from training.shortcuts import Fingerprint, Guesses, try_shortcuts

TOLERANCE: Final = 0.05
CANONICAL_QUALITY: Final = 90
# Of audits of images without a shortcut; each shortcut gets an equal part (Bonferroni). With a stricter share, twenty images could never be refused.
FALSE_ALARMS: Final = 0.05
AUDITED_IMAGES: Final = 2000  # a shortcut worth five points shows in this many
AUDITED_SPLITS: Final = ("train", "calibration", "test")


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Balanced accuracy of each shortcut on files of other groups, beside chance."""

    shortcuts: dict[str, Guesses]
    chance: float
    n: int
    groups: int
    tolerance: float = TOLERANCE

    @property
    def accuracy(self) -> dict[str, float]:
        """Return each shortcut's balanced accuracy."""
        return {name: it.accuracy for name, it in self.shortcuts.items()}

    def worst(self) -> tuple[str, float]:
        """The shortcut that tells most, and how often it is right."""
        name, guesses = max(self.shortcuts.items(), key=lambda item: item[1].accuracy)
        return name, guesses.accuracy

    def caught(self) -> dict[str, Guesses]:
        """Return the shortcuts that beat chance by more than the tolerance, and by more than luck.

        Sixty images miss chance by ten points now and then without any shortcut. Luck is what shuffled labels reach: a bootstrap of the guesses
        would not do, since guesses from the same few keys are right or wrong together (it raised an alarm on every third audit of noise).
        """
        bar, luck = self.chance + self.tolerance, FALSE_ALARMS / len(self.shortcuts)
        return {name: it for name, it in self.shortcuts.items() if it.accuracy > bar and it.p_value < luck}

    def require_chance(self) -> None:
        """Raise `CheckFailed` naming every shortcut that was caught."""
        if caught := self.caught():
            figures = ", ".join(f"{name} {it.accuracy:.3f}" for name, it in caught.items())
            remedy = "Make the classes alike in that property; do not train on these images."
            if "source" in caught:
                remedy += " For `source`: give every class several sources, and let the groups be the sources."
            raise CheckFailed(
                "the images have a shortcut",
                why=f"{figures}, where chance is {self.chance:.3f} (n = {self.n}, {self.groups} groups)",
                remedy=remedy,
            )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for reports."""
        return {
            "n": self.n,
            "groups": self.groups,
            "chance": round(self.chance, 4),
            "tolerance": self.tolerance,
            "shortcuts": {
                name: {key: round(value, 4) for key, value in asdict(it).items()} for name, it in self.shortcuts.items()
            },
            "caught": sorted(self.caught()),
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """Both reports, and how many files could not be read."""

    as_found: AuditReport
    canonical: AuditReport
    unreadable: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for reports."""
        return {
            "as_found": self.as_found.as_dict(),
            "canonical": self.canonical.as_dict(),
            "unreadable": self.unreadable,
        }


def audit_manifest(
    manifest: Manifest, ordered_map: Map, *, tolerance: float = TOLERANCE, most: int = AUDITED_IMAGES, seed: int = 0
) -> Audit:
    """Audit the images that a detector would be made of; whole groups, drawn by `seed`, until there are `most` images.

    Nothing is raised for a shortcut: ask `canonical.require_chance()`. Raises `UsageError` where fewer than two classes can be read.
    """
    rows = _drawn(audited_rows(manifest), most, seed)
    looks = list(ordered_map(partial(_look, root=manifest.root), rows))
    seen = [(row, look) for row, look in zip(rows, looks, strict=True) if look is not None]
    labels = [row.label for row, _ in seen]
    if len(set(labels)) < 2:  # noqa: PLR2004
        raise UsageError(
            "there is nothing to audit",
            why=f"{len(seen)} of {len(rows)} images can be read, and they have fewer than two classes",
            remedy="List images of `real` and of at least one generator: `deeptrace data manifest FOLDER`.",
        )
    units = units_of([row for row, _ in seen])

    def report(prints: Sequence[Fingerprint]) -> AuditReport:
        found = try_shortcuts(prints, labels, units)
        return AuditReport(found, 1 / len(set(labels)), len(labels), len(set(units)), tolerance)

    as_found, canonical = (report([look[side] for _, look in seen]) for side in (0, 1))
    return Audit(as_found, canonical, len(rows) - len(seen))


def audited_rows(manifest: Manifest) -> list[Row]:
    """Return the rows of train, calibration and test; all rows where the manifest is not split."""
    return [row for row in manifest.rows if row.split in AUDITED_SPLITS] or list(manifest.rows)


def _drawn(rows: Sequence[Row], most: int, seed: int) -> list[Row]:
    if len(rows) <= most:
        return list(rows)
    units = units_of(rows)
    by_hash = sorted(set(units), key=lambda unit: hashlib.sha256(f"{seed} {unit}".encode()).digest())
    sizes = Counter(units)
    taken: set[str] = set()
    count = 0
    for unit in by_hash:
        if count >= most:
            break
        taken.add(unit)
        count += sizes[unit]
    return [row for row, unit in zip(rows, units, strict=True) if unit in taken]


def _look(row: Row, *, root: Path) -> tuple[Fingerprint, Fingerprint] | None:
    """Return what shortcuts see of a file as found, and of its canonical crop; None where it cannot be read."""
    try:
        return _fingerprints((root / row.file).read_bytes(), row.source)
    except (OSError, Rejection):
        return None


def _fingerprints(data: bytes, source: str) -> tuple[Fingerprint, Fingerprint]:
    pixels = preprocess(data, ONE_CROP, seed=b"")
    crop = jpeg(pixels.crops[0], CANONICAL_QUALITY)
    found = Fingerprint.of(data, pixels.thumb, kind=pixels.format, source=source)
    return (
        replace(found, size=f"{pixels.width}x{pixels.height}"),
        Fingerprint.of(crop, decoded(crop), kind="JPEG", source=source),
    )
