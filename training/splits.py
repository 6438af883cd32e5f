"""Deals images out to train, calibration and test, and to what is held out: always whole units, so that nothing is judged by its own kin.

A unit is all that is tied by a group or by being near duplicates, through any chain (`training.items.units_of`).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from schemas.errors import UsageError
from training.items import units_of
from training.manifest import Row
from training.params import DataParams

LEFT_OUT: Final = ""  # in no split: kin of what is held out
DEALT: Final = ("train", "calibration", "test")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What training must not see, by the manifest's columns; `generator` may also name a class."""

    sources: frozenset[str] = frozenset()
    generators: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    later_than: date | None = None

    def rules(self) -> Iterator[tuple[str, Callable[[Row], bool]]]:
        """Yield (split, whether a row belongs to it); the first that fits counts."""
        if self.sources:
            yield "unseen_source", lambda row: row.source in self.sources
        if self.generators:
            yield "unseen_generator", lambda row: row.generator in self.generators or row.label in self.generators
        if self.versions:
            yield "unseen_checkpoint", lambda row: row.version in self.versions
        if limit := self.later_than:
            yield "later", lambda row: bool(row.date) and _day(row) > limit

    def split_of(self, row: Row) -> str | None:
        """Return the split that a row is held out for, if any."""
        return next((split for split, fits in self.rules() if fits(row)), None)


def split_rows(rows: Sequence[Row], params: DataParams, held_out: HeldOut) -> list[Row]:
    """Return the rows with `split` filled in, the same for the same rows, shares and seed; what it was before does not matter.

    Shares are of each class's images, as well as whole units allow. A unit that holds both held-out and other images goes by a draw: with
    the share of the test to the split that is held out, as a whole; else its held-out images are left out (split empty) and the others are
    dealt. Raises `UsageError` where nothing fits an option, or a class is left with nothing to train on.
    """
    wanted = [held_out.split_of(row) for row in rows]
    _require_found(rows, held_out)
    units = units_of(rows)
    members: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        members.setdefault(unit, []).append(place)
    split: dict[int, str] = {}
    to_deal: dict[str, Counter[str]] = {}
    for unit, places in members.items():
        target = next((name for name, _ in held_out.rules() if any(wanted[place] == name for place in places)), None)
        free = [place for place in places if wanted[place] is None]
        if target is not None and (not free or _draw(params.seed, unit) < params.test_share):
            split |= dict.fromkeys(places, target)
            continue
        split |= {place: LEFT_OUT for place in places if wanted[place] is not None}
        if free:
            to_deal[unit] = Counter(rows[place].label for place in free)
    dealt = _deal(to_deal, params)
    done = [replace(row, split=split.get(place, dealt.get(units[place], ""))) for place, row in enumerate(rows)]
    _require_train(done)
    return done


def missing_classes(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return for calibration and test the trained classes that they lack, where they do: their figures would say nothing of these."""
    labels = {name: {row.label for row in rows if row.split == name} for name in DEALT}
    return {name: lacking for name in DEALT[1:] if (lacking := sorted(labels["train"] - labels[name]))}


def _deal(units: Mapping[str, Counter[str]], params: DataParams) -> dict[str, str]:
    """Give each unit to the split that lacks most of what it holds; large units first, as the small ones even out what is left."""
    total: Counter[str] = sum(units.values(), Counter())
    shares = {
        "train": 1 - params.calibration_share - params.test_share,
        "test": params.test_share,
        "calibration": params.calibration_share,
    }
    have: dict[str, Counter[str]] = {name: Counter() for name in shares}
    dealt: dict[str, str] = {}

    def lack(name: str, labels: Counter[str]) -> float:
        """How empty the split is, from 1 (nothing) over 0 (its share) to below, in the classes of the unit."""
        full = (have[name][label] / (shares[name] * total[label]) for label in labels)
        return sum(1 - part for part in full) / len(labels)

    for unit in sorted(units, key=lambda unit: (-units[unit].total(), _draw(params.seed, unit), unit)):
        labels = units[unit]
        best = max((name for name in shares if shares[name] > 0), key=lambda name: lack(name, labels))
        have[best] += labels
        dealt[unit] = best
    return dealt


def _draw(seed: int, unit: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the unit's name only."""
    return int.from_bytes(hashlib.sha256(f"{seed} {unit}".encode()).digest()[:7], "big") / 2**56


def _day(row: Row) -> date:
    try:
        return date.fromisoformat(row.date[:10])
    except ValueError as error:
        raise UsageError(
            f"{row.file}: the date is {row.date!r}", remedy="Write dates as 2026-01-31, or leave them empty."
        ) from error


def _require_found(rows: Sequence[Row], held_out: HeldOut) -> None:
    for split, fits in held_out.rules():
        if not any(fits(row) for row in rows):
            column = {"unseen_source": "source", "unseen_generator": "generator", "unseen_checkpoint": "version"}.get(
                split, "date"
            )
            known = sorted({str(getattr(row, column)) for row in rows} - {""})
            raise UsageError(
                f"nothing to hold out for {split}",
                why=f"the column `{column}` has {', '.join(known[:10]) or 'nothing'}",
                remedy="Name what is there, or leave the option out.",
            )


def _require_train(rows: Sequence[Row]) -> None:
    for label in sorted({row.label for row in rows if row.split not in {"unseen_generator", LEFT_OUT}}):
        if not any(row.split == "train" and row.label == label for row in rows):
            raise UsageError(
                f"the class {label} has nothing to train on",
                why="all of its groups are held out, or it shares its few groups with other classes",
                remedy="Hold out less, lower data.test_share and data.calibration_share, or add images from other sources.",
            )
