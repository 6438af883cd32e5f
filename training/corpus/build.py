"""Scenes in, labelled files out, on all cores; the same bytes for the same seed whatever the number of processes."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import AsyncResult
from typing import Protocol, TypeVar

import numpy as np

from training.corpus.camera import Camera, develop, photograph
from training.corpus.decoders import Decoder, decode
from training.corpus.families import ALL_FAMILIES, FAMILIES
from training.corpus.files import Rgb, as_found, shared_history
from training.corpus.filters import Planes, match_detail, match_moments, to_uint8
from training.corpus.plan import ORIGINS, Origin
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


def simulate(
    seed: int, scene: int, *, labels: Sequence[str] = CLASSES, origin: Origin = ORIGINS["train"]
) -> Iterator[tuple[str, int, Rgb]]:
    """Take one scene through the pipelines of `labels`: (label, decoder checkpoint, pixels); -1 is the camera's number."""
    rng = stream(seed, "scene", scene)
    height, width = (int(side) for side in rng.choice(SIDES_PX, 2))
    light = render_scene(rng, height, width, origin.population)
    camera = Camera.draw(rng, origin.population)
    content = develop(light, camera)

    def finished(label: str, planes: Planes) -> Rgb:
        """Level what is not acquisition: detail (with a jitter that is the same for all classes), colour, contrast."""
        jitter = stream(seed, "jitter", scene, label)
        level = match_moments(match_detail(planes, content, float(jitter.uniform(*DETAIL))), content)
        grain = np.float32(10 ** jitter.uniform(*LOG10_GRAIN))
        return to_uint8(level + grain * jitter.standard_normal(level.shape[1:], dtype=np.float32))

    for name in labels:
        if name == "real":
            yield name, -1, finished(name, photograph(light, camera, stream(seed, "shot", scene)))
            continue
        pick = stream(seed, "pick", scene, name)
        checkpoint = origin.checkpoints[int(pick.integers(len(origin.checkpoints)))]
        family = ALL_FAMILIES[name].later() if origin.later else ALL_FAMILIES[name]
        yield name, checkpoint, finished(name, decode(content, Decoder.draw(seed, family, checkpoint), pick))


def files_of(
    scene: int, *, seed: int, split: str = "train", labels: Sequence[str] = CLASSES
) -> list[tuple[str, int, bytes]]:
    """Make the files of one scene, which share size and file history: (label, decoder checkpoint, bytes)."""
    origin = ORIGINS[split]
    return [
        (label, checkpoint, shared_history(pixels, stream(seed, "history", scene), origin.population))
        for label, checkpoint, pixels in simulate(seed, scene, labels=labels, origin=origin)
    ]


def found_files_of(
    scene: int, *, seed: int, split: str = "train", labels: Sequence[str] = CLASSES
) -> list[tuple[str, int, bytes]]:
    """Make the files of one scene as platforms would find them, each class with the habits that give it away."""
    return [
        (label, checkpoint, as_found(pixels, label, stream(seed, "found", scene, label)))
        for label, checkpoint, pixels in simulate(seed, scene, labels=labels, origin=ORIGINS[split])
    ]


@contextmanager
def on_cores(processes: int | None = None) -> Iterator[Map]:
    """Yield a `Map` over worker processes (spawned: safe beside torch's threads); 1 means in this process.

    At most `BACKLOG` items are under way or waiting to be taken, so memory stays flat whatever the consumer's pace.
    """
    count = processes or cores()
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


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
