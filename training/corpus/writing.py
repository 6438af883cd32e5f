"""The simulated corpus as files and a manifest, like any other set of images: nothing downstream needs to know that it is simulated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from schemas.verdict import REAL
from training.corpus.build import CLASSES, Map, files_of, found_files_of
from training.corpus.families import ALL_FAMILIES, FURTHER_FAMILIES
from training.corpus.plan import ORIGINS, SCENES_A_SPLIT
from training.facts import facts_of
from training.manifest import Row

_SUFFIXES: Final = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_UNSEEN_GENERATOR: Final = "unseen_generator"


@dataclass(frozen=True, slots=True)
class CorpusOrder:
    """How many scenes of each split to make, and of which classes. `as_found` gives each class the files that platforms get of it."""

    seed: int
    scenes: Mapping[str, int]  # by split; what is missing is not made
    classes: tuple[str, ...] = CLASSES
    unseen_generator: str = "other_ai"
    as_found: bool = False

    def __post_init__(self) -> None:
        """Raise `UsageError` for a class that cannot be simulated, or scenes that would reach into another split's."""
        known = (REAL, *ALL_FAMILIES)
        if unknown := sorted({*self.classes, self.unseen_generator} - set(known)):
            raise UsageError(
                f"{', '.join(unknown)} cannot be simulated", remedy=f"Choose the classes among {', '.join(known)}."
            )
        if REAL not in self.classes or len(set(self.classes)) < 2 or len(set(self.classes)) != len(self.classes):  # noqa: PLR2004
            raise UsageError(
                f"{', '.join(self.classes) or 'no class'} makes no corpus",
                why="every verdict is first about real or not",
                remedy=f"Name `{REAL}` and at least one generator, each once.",
            )
        if self.unseen_generator in self.classes and self.scenes.get(_UNSEEN_GENERATOR):
            raise UsageError(
                f"{self.unseen_generator} is to be trained and to be unseen",
                remedy=f"Hold out another one of {', '.join(FURTHER_FAMILIES)}, or train without it.",
            )
        if wrong := [split for split, count in self.scenes.items() if not 0 <= count <= SCENES_A_SPLIT]:
            raise UsageError(
                f"{', '.join(wrong)}: at most {SCENES_A_SPLIT} scenes, and none below 0",
                why="the scenes of each split have numbers of their own, so that no two splits share one",
                remedy="Ask for fewer, or make a second corpus with another --seed.",
            )

    def jobs(self) -> Iterator[tuple[str, int]]:
        """Yield (split, scene) of everything that is to be made, split by split."""
        for split, origin in ORIGINS.items():
            for number in range(self.scenes.get(split, 0)):
                yield split, origin.first_scene + number

    def labels(self, split: str) -> Sequence[str]:
        """Return the classes of a split: what nobody knows stands beside photographs only."""
        return (REAL, self.unseen_generator) if split == _UNSEEN_GENERATOR else self.classes


def write_corpus(order: CorpusOrder, out: Path, ordered_map: Map) -> Iterator[list[Row]]:
    """Write the files of `order` under `out`, split by split and class by class; yields the rows of each scene as it is done.

    The same order gives the same bytes, whatever the number of processes.
    """
    for split in ORIGINS:
        for label in order.labels(split) if order.scenes.get(split) else ():
            (out / split / label).mkdir(parents=True, exist_ok=True)
    yield from ordered_map(partial(_write_job, order=order, out=out), order.jobs())


def _write_job(job: tuple[str, int], *, order: CorpusOrder, out: Path) -> list[Row]:
    split, scene = job
    pipelines = {label: label for label in order.labels(split)}
    return write_scene(scene, order.seed, split, pipelines, out, f"{split}/", as_found=order.as_found)


def write_scene(
    scene: int, seed: int, split: str, pipelines: Mapping[str, str], out: Path, folder: str, *, as_found: bool = False
) -> list[Row]:
    """Write one scene's files into `folder` + class, under `out`; returns their rows. `pipelines` has for each class what simulates it."""
    make = found_files_of if as_found else files_of
    made = make(scene, seed=seed, split=split, labels=tuple(pipelines.values()))
    rows = []
    for label, (pipeline, checkpoint, data) in zip(pipelines, made, strict=True):
        facts = facts_of(data)
        file = f"{folder}{label}/{scene:06d}.{_SUFFIXES[facts.format]}"
        (out / file).write_bytes(data)
        rows.append(
            Row(
                file=file,
                label=label,
                generator="" if pipeline == REAL else f"simulated_{pipeline}",
                version="" if pipeline == REAL else f"{pipeline}-{checkpoint:03d}",
                source=ORIGINS[split].population.name,
                group=f"scene-{scene:06d}",
                **asdict(facts),
                split=split,
            )
        )
    return rows
