"""Simulated images in the place of a data set that cannot be fetched: every stage after the download runs on them, and none says anything."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from schemas.errors import UsageError
from schemas.verdict import REAL
from training.corpus.build import CLASSES, Map
from training.corpus.families import ALL_FAMILIES
from training.corpus.writing import write_scene
from training.manifest import Row


def write_dummies(classes: Sequence[str], count: int, out: Path, ordered_map: Map, *, seed: int) -> Iterator[list[Row]]:
    """Write `count` simulated images of each class under `out`, one folder a class; yields the rows of each scene.

    A class that is no simulated generator borrows one. Raises `UsageError` for more generators than can be simulated.
    """
    pipelines = _pipelines(classes or CLASSES)
    for label in pipelines:
        (out / label).mkdir(parents=True, exist_ok=True)
    yield from ordered_map(partial(_write, seed=seed, pipelines=pipelines, out=out), range(count))


def _write(scene: int, *, seed: int, pipelines: Mapping[str, str], out: Path) -> list[Row]:
    return write_scene(scene, seed, "train", pipelines, out, "")


def _pipelines(classes: Sequence[str]) -> dict[str, str]:
    """Return what simulates each class: itself where it can be simulated, else a family that no other class has."""
    wanted = dict.fromkeys((REAL, *classes))
    spare = iter([name for name in ALL_FAMILIES if name not in wanted])
    if len(wanted) > 1 + len(ALL_FAMILIES):
        raise UsageError(
            f"{len(wanted) - 1} generators cannot be simulated", why=f"there are {len(ALL_FAMILIES)} simulated ones"
        )
    return {name: name if name == REAL or name in ALL_FAMILIES else next(spare) for name in wanted}
