"""What parent and decoder say to each other over two pipes: lengths, a little JSON, raw arrays. Nothing that can run code.

A request is the lengths of seed and data, then both. A reply is its kind and the lengths of its JSON and its arrays, then both.
"""

import enum
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from model.pixels import Pixels
from schemas.errors import DeepTraceError, leaves

REQUEST: Final = struct.Struct("!II")
REPLY: Final = struct.Struct("!BII")

Buffer = bytes | memoryview

_ARRAYS: Final = (("crops", np.uint8), ("boxes", np.int32), ("view", np.uint8), ("thumb", np.uint8))
_FACTS: Final = ("format", "width", "height", "frames", "flags", "preprocess_id")


class Kind(enum.IntEnum):
    """What a reply holds."""

    READY = 0
    PIXELS = 1
    ERROR = 2


def pack_reply(kind: Kind, facts: Mapping[str, Any], arrays: Sequence[Buffer] = ()) -> list[Buffer]:
    """Frame one reply; the parts are to be written one after the other."""
    text = json.dumps(facts, separators=(",", ":")).encode()
    return [REPLY.pack(kind, len(text), sum(len(array) for array in arrays)) + text, *arrays]


def pack_pixels(pixels: Pixels, cpu_s: float) -> list[Buffer]:
    """Frame the picture and the CPU time the decoder has used since its start."""
    arrays = [np.ascontiguousarray(getattr(pixels, name)) for name, _ in _ARRAYS]
    facts = {name: getattr(pixels, name) for name in _FACTS}
    facts["shapes"] = [array.shape for array in arrays]
    return pack_reply(Kind.PIXELS, facts | {"cpu_s": cpu_s}, [array.data.cast("B") for array in arrays])


def pack_error(error: DeepTraceError, cpu_s: float) -> list[Buffer]:
    """Frame an error by its code."""
    facts = {"code": error.code, "message": error.message, "why": error.why, "remedy": error.remedy}
    return pack_reply(Kind.ERROR, facts | {"cpu_s": cpu_s})


def unpack_pixels(facts: Mapping[str, Any], buffer: memoryview) -> Pixels:
    """Lay the arrays over the buffer without copying it."""
    arrays: dict[str, Any] = {}
    start = 0
    for (name, dtype), shape in zip(_ARRAYS, facts["shapes"], strict=True):
        count = math.prod(shape)
        arrays[name] = np.frombuffer(buffer, dtype, count, start).reshape(shape)
        start += arrays[name].nbytes
    known = {name: facts[name] for name in _FACTS}
    return Pixels(**arrays, **known | {"flags": tuple(facts["flags"])})


def unpack_error(facts: Mapping[str, Any]) -> DeepTraceError:
    """Return the error of the tree that has this code."""
    classes = {leaf.code: leaf for leaf in leaves()}
    return classes[facts["code"]](facts["message"], why=facts["why"], remedy=facts["remedy"])
