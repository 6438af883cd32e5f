"""Scenes in, labelled files out, on all cores; the same bytes for the same seed whatever the number of processes."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import AsyncResult
from typing import Protocol, TypeVar

import numpy as np

from training.corpus.camera import Camera, develop, photograph
from training.corpus.decoders import FAMILIES, TRAIN_CHECKPOINTS, UNSEEN_CHECKPOINTS, Decoder, decode
from training.corpus.files import Rgb, shared_history
from training.corpus.filters import Planes, match_detail, match_moments, to_uint8
from training.corpus.scene import render_scene
from training.corpus.seeds import stream

CLASSES = ("real", *FAMILIES)  # the demo checkpoint's classes, in order
SIDES_PX = tuple(range(256, 353, 8))  # multiples of 8 (the latent), room for distinct native crops of 224
BACKLOG = 64
DETAIL = (0.6, 1.8)  # times the strength of the scene's own fine detail; the same jitter for all classes
LOG10_GRAIN = (-2.7, -1.7)  # deviation of grain added to all classes alike, full scale 1

In = TypeVar("In")
Out = TypeVar("Out")


class Map(Protocol):
    """`map`, ordered, over however many processes."""

    def __call__(self, function: Callable[[In], Out], items: Iterable[In], /) -> Iterator[Out]:
        """Yield function(item) for each item, in order."""


@dataclass(frozen=True, slots=True)
class Example:
    """One file of the corpus. `scene` is its group: the five classes of a scene share content, size and file history."""

    scene: int
    label: str
    checkpoint: int  # of the simulated decoder; -1 for the camera
    data: bytes


def simulate(
    seed: int, scene: int, *, labels: Sequence[str] = CLASSES, unseen: bool = False
) -> Iterator[tuple[str, int, Rgb]]:
    """Take one scene through the five pipelines, or some of them: (label, decoder checkpoint, pixels).

    `unseen` uses decoder checkpoints that no training image ever sees; scene and camera stay the same.
    """
    rng = stream(seed, "scene", scene)
    height, width = (int(side) for side in rng.choice(SIDES_PX, 2))
    light = render_scene(rng, height, width)
    camera = Camera.draw(rng)
    content = develop(light, camera)

    def finished(label: str, planes: Planes) -> Rgb:
        """Level what is not acquisition: detail (with a jitter that is the same for all classes), colour, contrast."""
        jitter = stream(seed, "jitter", scene, label, int(unseen))
        level = match_moments(match_detail(planes, content, float(jitter.uniform(*DETAIL))), content)
        grain = np.float32(10 ** jitter.uniform(*LOG10_GRAIN))
        return to_uint8(level + grain * jitter.standard_normal(level.shape[1:], dtype=np.float32))

    for name in labels:
        if name == "real":
            yield name, -1, finished(name, photograph(light, camera, stream(seed, "shot", scene)))
            continue
        pick = stream(seed, "pick", scene, name, int(unseen))
        checkpoint = (
            int(pick.integers(UNSEEN_CHECKPOINTS)) + TRAIN_CHECKPOINTS
            if unseen
            else int(pick.integers(TRAIN_CHECKPOINTS))
        )
        yield name, checkpoint, finished(name, decode(content, Decoder.draw(seed, FAMILIES[name], checkpoint), pick))


def examples_of(scene: int, *, seed: int, unseen: bool = False) -> list[Example]:
    """The five canonical files of one scene, in the order of CLASSES."""
    return [
        Example(scene, label, checkpoint, shared_history(pixels, stream(seed, "history", scene)))
        for label, checkpoint, pixels in simulate(seed, scene, unseen=unseen)
    ]


@contextmanager
def on_cores(processes: int | None = None) -> Iterator[Map]:
    """Yield a `Map` over worker processes (spawned: safe beside torch's threads); 1 means in this process.

    At most `BACKLOG` items are under way or waiting to be taken, so memory stays flat whatever the consumer's pace.
    """
    count = processes or _cores()
    if count == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(count) as pool:

        def ordered_map(function: Callable[[In], Out], items: Iterable[In], /) -> Iterator[Out]:
            under_way: deque[AsyncResult[Out]] = deque()
            for item in items:
                under_way.append(pool.apply_async(function, (item,)))
                if len(under_way) >= BACKLOG:
                    yield under_way.popleft().get()
            while under_way:
                yield under_way.popleft().get()

        yield ordered_map


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build(seed: int, scenes: range, ordered_map: Map, *, unseen: bool = False) -> Iterator[Example]:
    """Yield the examples of all scenes in order, scene by scene."""
    for examples in ordered_map(partial(examples_of, seed=seed, unseen=unseen), scenes):
        yield from examples
