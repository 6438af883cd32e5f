"""A file under limits to one upright 8-bit RGB picture, by the steps that model/policy.py writes down."""

import io
import warnings
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    Image,
    WebPImagePlugin,  # noqa: F401 -- without it, the first WebP makes Pillow import all 43 plugins
)

from model.colour import to_rgb
from model.diagnosis import why_refused
from model.frames import count_frames
from model.header import declared_size
from model.limits import DecodeLimits
from model.sniff import FORMATS, Format, sniff
from model.structure import check_structure
from schemas.errors import (
    DecodeMemoryExceeded,
    DeepTraceError,
    ImageTooManyFrames,
    ImageTooManyPixels,
    ImageTruncated,
    ImageZeroSize,
    ObjectEmpty,
    ObjectTooLarge,
)

# One thread an image: decoders run side by side, and each thread of dav1d takes address space from the limit.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_ORIENTATION_TAG: Final = 0x0112
_PNG_DEPTH_AT: Final = 24  # the bit depth in IHDR
_DEEP: Final = 16
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright RGB picture and what its file was."""

    rgb: Image.Image
    format: Format
    frames: int = 1
    flags: AbstractSet[str] = frozenset()


def decode(data: bytes, limits: DecodeLimits) -> Decoded:
    """Decode the first frame. Whatever the bytes are, the answer is a picture or a `DeepTraceError`.

    Memory and time are bounded by what the header declares; the process limits of model/decoder.py are the second fence.
    """
    if not data:
        raise ObjectEmpty("the object holds no bytes", remedy="Upload the image again.")
    if len(data) > limits.max_bytes:
        raise too_large(data, limits)
    kind = sniff(data)
    if size := declared_size(data, kind):
        _check_size(size, kind, limits)
    try:
        check_structure(data, kind, size, limits)
        return _decode_or_say_why(data, kind, limits)
    except ImageTruncated as truncated:
        truncated.declared = (kind, *size) if size else None
        raise


def _decode_or_say_why(data: bytes, kind: Format, limits: DecodeLimits) -> Decoded:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(data, kind, limits)
    except DeepTraceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        _too_many_pixels(limits)
    except MemoryError:
        raise DecodeMemoryExceeded(f"the {kind} needs too much memory to decode") from None
    except Exception as error:  # what Pillow raises on bad files is not a closed set
        raise why_refused(data, kind, error) from error


def too_large(data: bytes, limits: DecodeLimits) -> ObjectTooLarge:
    """Return the rejection of an object that has more bytes than are decoded."""
    return ObjectTooLarge(f"the object holds {len(data)} bytes", why=f"at most {limits.max_bytes} are decoded")


def _decode(data: bytes, kind: Format, limits: DecodeLimits) -> Decoded:
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image.size, kind, limits)
        frames = count_frames(data, kind, image, limits.max_frames)
        if frames > limits.max_frames or frames * image.width * image.height > limits.max_total_pixels:
            raise ImageTooManyFrames(
                f"the {kind} is an animation over the caps",
                why=f"at most {limits.max_frames} frames and {limits.max_total_pixels} pixels in all are decoded",
            )
        image.load()
        flags: set[str] = {"animated"} if frames > 1 else set()
        if kind == "PNG" and data[_PNG_DEPTH_AT] == _DEEP:  # Pillow drops the low bytes of RGB before we see them
            flags.add("sixteen_bit")
        turn = _TURNS.get(_orientation(image, flags))
        rgb = to_rgb(image, flags, max_icc_bytes=limits.max_icc_bytes)
        return Decoded(rgb.transpose(turn) if turn is not None else rgb, kind, frames, flags)


def _orientation(image: Image.Image, flags: set[str]) -> int:
    """The EXIF orientation, or 1 where there is none or its block cannot be read: that must not cost a sound picture."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 -- as in decode()
        flags.add("exif_broken")
        return 1


def _check_size(size: tuple[int, int], kind: Format, limits: DecodeLimits) -> None:
    width, height = size
    if width * height == 0:
        raise ImageZeroSize(f"the {kind} is {width} x {height}", remedy="Upload a picture that has pixels.")
    if width * height > limits.max_pixels:
        _too_many_pixels(limits)


def _too_many_pixels(limits: DecodeLimits) -> NoReturn:
    raise ImageTooManyPixels("the image is too large to decode", why=f"at most {limits.max_pixels} pixels are decoded")


def from_array(rgb: npt.NDArray[np.uint8], *, kind: Format = "PNG") -> Decoded:
    """Wrap uint8 [h, w, 3] that was never in a file, for training and tests."""
    return Decoded(Image.fromarray(rgb), kind)
