"""What parent and decoder say to each other over two pipes: lengths, a little JSON, raw arrays. Nothing that can run code.

A request is the lengths of seed and data, then both. A reply is its kind and the lengths of its JSON and its arrays, then both;
`model/decoder_reply.py` reads it. The `cpu_s` in each is the CPU time that the decoder has used since its start.
"""

import enum
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from model.pixels import Pixels
from schemas.errors import DeepTraceError, ImageTruncated

REQUEST: Final = struct.Struct("!II")
REPLY: Final = struct.Struct("!BII")
MAX_TEXT: Final = 512

Buffer = bytes | memoryview

ARRAYS: Final = tuple(
    (name, np.dtype(kind)) for name, kind in (("crops", "u1"), ("boxes", "i4"), ("view", "u1"), ("thumb", "u1"))
)
_FACTS: Final = ("format", "width", "height", "frames", "flags", "preprocess_id")


class Kind(enum.IntEnum):
    """What a reply holds."""

    READY = 0
    PIXELS = 1
    ERROR = 2


def pack_ready(cpu_s: float, *, sandboxed: bool) -> list[Buffer]:
    """Frame the word that images may come; the parts are to be written one after the other."""
    return _frame(Kind.READY, {"cpu_s": cpu_s, "sandboxed": sandboxed})


def pack_pixels(pixels: Pixels, cpu_s: float) -> list[Buffer]:
    """Frame the picture."""
    arrays = [np.ascontiguousarray(getattr(pixels, name)) for name, _ in ARRAYS]
    facts = {name: getattr(pixels, name) for name in _FACTS}
    facts |= {"shapes": [array.shape for array in arrays], "cpu_s": cpu_s}
    return _frame(Kind.PIXELS, facts, [array.data.cast("B") for array in arrays])


def pack_error(error: DeepTraceError, cpu_s: float) -> list[Buffer]:
    """Frame an error by its code; of a file that ends early, also what it declares."""
    texts = {name: str(getattr(error, name))[:MAX_TEXT] for name in ("message", "why", "remedy")}
    declared = error.declared if isinstance(error, ImageTruncated) else None
    return _frame(Kind.ERROR, {"code": error.code, "cpu_s": cpu_s, "declared": declared, **texts})


def _frame(kind: Kind, facts: Mapping[str, Any], arrays: Sequence[Buffer] = ()) -> list[Buffer]:
    text = json.dumps(facts, separators=(",", ":")).encode()
    return [REPLY.pack(kind, len(text), sum(len(array) for array in arrays)) + text, *arrays]
