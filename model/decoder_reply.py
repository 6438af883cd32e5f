"""Reads what a decoder says. It may be in a file's hands by then, so a reply is checked as a stranger's message is.

`ReplyGarbled` for whatever a decoder that is itself would not say. Shapes, sizes and boxes must be those of the picture that it claims to have
seen, and errors must be ones of an image: a decoder cannot stop the worker, take its memory, or put free text into a verdict.
"""

import math
from typing import Annotated, Final, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.config import CROP_PX
from model.decoder_wire import ARRAYS, MAX_TEXT, REPLY, Buffer, Kind
from model.pixels import Pixels, thumb_size
from model.policy import PixelPolicy
from model.sniff import Format
from schemas.errors import ConfigError, DeepTraceError, ImageRejected, ImageTruncated, ObjectRejected, leaves

MAX_FACTS_BYTES: Final = 8192
MAX_ARRAY_BYTES: Final = 16 << 20  # ten times what five crops, view and thumb take

_REFUSALS: Final[dict[str, type[DeepTraceError]]] = {leaf.code: leaf for leaf in leaves(ConfigError)}
_REJECTIONS: Final[dict[str, type[DeepTraceError]]] = {
    leaf.code: leaf for root in (ImageRejected, ObjectRejected) for leaf in leaves(root)
}


class ReplyGarbled(Exception):
    """What a decoder said is no reply: it is not itself any more."""


Text = Annotated[str, Field(max_length=MAX_TEXT)]
Flag = Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
Size = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, lt=1 << 32)]  # the most that a header of any format can say
Picture = tuple[Size, Size, Size]


class Facts(BaseModel):
    """The JSON of a reply."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    cpu_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @classmethod
    def read(cls, text: Buffer) -> Self:
        """Parse; raises `ReplyGarbled`."""
        try:
            return cls.model_validate_json(bytes(text))
        except ValidationError as error:
            raise ReplyGarbled(f"{error.error_count()} faults in its facts") from None


class ReadyFacts(Facts):
    """The decoder has loaded everything."""

    sandboxed: bool


class PixelFacts(Facts):
    """What the file was, and the shapes of the arrays that follow."""

    format: Format
    width: Size
    height: Size
    frames: Size
    flags: Annotated[tuple[Flag, ...], Field(max_length=16)]
    preprocess_id: Text
    shapes: tuple[tuple[Size, Size, Size, Size], tuple[Size, Size], Picture, Picture]


class ErrorFacts(Facts):
    """An error of the tree by its code."""

    code: Text
    message: Text
    why: Text
    remedy: Text
    declared: tuple[Format, Side, Side] | None = None


def read_head(head: Buffer) -> tuple[Kind, int, int]:
    """Return the kind of a reply and the lengths of its JSON and its arrays."""
    number, text_bytes, array_bytes = REPLY.unpack(head)
    if number > max(Kind) or text_bytes > MAX_FACTS_BYTES or array_bytes > MAX_ARRAY_BYTES:
        raise ReplyGarbled("no reply begins like that")
    return Kind(number), text_bytes, array_bytes


def read_pixels(facts: PixelFacts, buffer: memoryview, policy: PixelPolicy) -> Pixels:
    """Lay the arrays over the buffer without copying it."""
    width, height, count = facts.width, facts.height, facts.shapes[0][0]
    if facts.preprocess_id != policy.preprocess_id or count > policy.crops:
        raise ReplyGarbled("it followed another policy")
    across, down = thumb_size(width, height)
    if facts.shapes != ((count, CROP_PX, CROP_PX, 3), (count, 4), (CROP_PX, CROP_PX, 3), (down, across, 3)):
        raise ReplyGarbled("its arrays are not of the picture's shapes")
    arrays = []
    start = 0
    for (_, dtype), shape in zip(ARRAYS, facts.shapes, strict=True):
        end = start + math.prod(shape) * dtype.itemsize
        if end > len(buffer):
            raise ReplyGarbled("its arrays are shorter than it says")
        arrays.append(np.frombuffer(buffer[start:end], dtype).reshape(shape))
        start = end
    if start != len(buffer):
        raise ReplyGarbled("its arrays are longer than it says")
    crops, boxes, view, thumb = arrays
    for left, top, right, bottom in boxes.tolist():
        inside = -CROP_PX <= left <= width and -CROP_PX <= top <= height
        if not inside or right - left != CROP_PX or bottom - top != CROP_PX:
            raise ReplyGarbled("its crops lie outside the picture")
    return Pixels(
        crops, boxes, view, thumb, facts.format, width, height, facts.frames, facts.flags, facts.preprocess_id
    )


def read_rejection(facts: ErrorFacts) -> DeepTraceError:
    """Return the rejection of an image or of its object; another error is not a decoder's to raise."""
    return _known(_REJECTIONS, facts)


def read_refusal(facts: ErrorFacts) -> DeepTraceError:
    """Return the fault of configuration for which a decoder does not start."""
    return _known(_REFUSALS, facts)


FactsT = TypeVar("FactsT", bound=Facts)


def _known(classes: dict[str, type[DeepTraceError]], facts: ErrorFacts) -> DeepTraceError:
    if facts.code not in classes:
        raise ReplyGarbled("it raises an error that is not its own")
    error = classes[facts.code](facts.message, why=facts.why, remedy=facts.remedy)
    if isinstance(error, ImageTruncated):
        error.declared = facts.declared
    elif facts.declared is not None:
        raise ReplyGarbled("it declares a picture that nobody asked about")
    return error
