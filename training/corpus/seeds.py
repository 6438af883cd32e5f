import zlib

import numpy as np


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """Return the random stream of one named decision.

    It depends on `seed` and `path` only, never on what was drawn before or in which process: this is what makes the
    corpus bit-identical for any number of processes.
    """
    words = [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Throw a biased coin."""
    return bool(rng.random() < probability)
