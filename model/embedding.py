"""Where an image that is like no known class lies among others like it: 32 signed bytes, compared by the angle between them.

The features are what enters the last activation of the head, as a mean over an image's crops. They are centred and whitened by how the training
images of one class scatter (`training.open_set` fits that), so that the images of a known class lie in all directions alike, then taken to 32
numbers by signs that are drawn once and for all: a random projection keeps angles to about 1 / sqrt(32) (Achlioptas 2003, "Database-friendly
random projections"). The checkpoint keeps the product of the two. Angles mean something between images of one checkpoint only.

Chosen on the simulated corpus, by how well the cosine of two rejected images tells a pair of one unknown generator from a pair of it and a known
class: mean AUROC over `other_ai` and `pixel_ai`, clean and laundered, and eight draws of the signs (demo checkpoint, 2026-11-25; 11 to 202
rejected unknown images a set against 21 to 31 known, so a hundredth is noise): .936 as here, and .885 without whitening. Tried and left: the last
hidden features after the activation (.910 whitened, .877 as they are), the logits (.912, .861), what enters the head (.837, .903), the spectrum
branch alone (.881, .899), the CNN alone (below .8). Whitening by half the power does as well on wider layers (.938 for what enters the head) and leaves no
scale by which a cohesion could be asked for.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BYTES: Final = 32
_LARGEST: Final = 127
_SEED: Final = b"deeptrace embedding 1"


def signs(width: int) -> NDArray[np.float64]:
    """Return the fixed projection [width, 32] of +1 and -1, the same in every release."""
    # From SHAKE and not a random generator: numpy does not promise the same draws for ever.
    bits = np.frombuffer(hashlib.shake_256(_SEED).digest(width * BYTES // 8), np.uint8)
    return np.asarray(np.unpackbits(bits).reshape(width, BYTES) * 2.0 - 1.0, np.float64)


def packed(place: NDArray[np.floating]) -> str:
    """Return a direction [32] as base64 of signed bytes; the length of the vector is lost, and the middle itself has none.

    Raises:
        ValueError: not 32 numbers, or one is not finite.
    """
    if place.shape != (BYTES,) or not np.isfinite(place).all():
        raise ValueError("an embedding is 32 finite numbers")
    largest = float(np.abs(place).max())
    scaled = place / largest * _LARGEST if largest > 0 else place
    return base64.b64encode(np.rint(scaled).astype(np.int8).tobytes()).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return the 32 bytes of an embedding.

    Raises:
        ValueError: `text` is none.
    """
    found = base64.b64decode(text, validate=True)
    if len(found) != BYTES:
        raise ValueError(f"an embedding has {BYTES} bytes, this has {len(found)}")
    return found


def directions(embeddings: Sequence[bytes]) -> NDArray[np.float64]:
    """Return unit vectors [n, 32] of n embeddings; the middle, which has no direction, stays zero."""
    rows = np.frombuffer(b"".join(embeddings), np.int8).reshape(-1, BYTES).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
