"""References that are bad on purpose, each with the error its dead letter must carry.

An honest reference to an uploaded file is made first, then spoiled: what is wrong with it is exactly what stands here.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from PIL import Image

from schemas import errors

Spoil = Callable[[dict[str, Any]], bytes]
BOMB_SIDE_PX = 20_000
WITHIN_THE_HEADER = 100  # before it says how large the picture is: behind that it would get a verdict, `not_assessable`


@dataclass(frozen=True, slots=True)
class BadReference:
    """One bad reference: a file, and what is done to the honest reference to it."""

    name: str
    expected: type[errors.DeepTraceError]
    data: bytes
    spoil: Spoil


def bad_references() -> list[BadReference]:
    """Return all of them: bad messages, bad objects, bad images."""
    jpeg = _jpeg()
    messages: list[tuple[str, type[errors.DeepTraceError], Spoil]] = [
        ("half-a-message.json", errors.MessageNotJson, lambda ref: _honest(ref)[:-20]),
        ("future-version.json", errors.SchemaVersionUnknown, _with(schema="deeptrace.image/99")),
        ("no-object.json", errors.MessageInvalid, lambda ref: _honest({**ref, "object": None})),
        ("foreign-bucket.json", errors.BucketForbidden, _with_object(bucket="somebody-elses-bucket")),
        ("path-traversal.json", errors.KeyForbidden, _with_object(key="uploads/../../secrets.jpg")),
        ("never-uploaded.jpg", errors.ObjectNotFound, _with_object(key="uploads/never-uploaded.jpg")),
        ("changed-since.jpg", errors.ObjectChanged, _with_object(sha256="0" * 64)),
    ]
    images: list[tuple[str, type[errors.DeepTraceError], bytes]] = [
        ("empty.jpg", errors.ObjectEmpty, b""),
        ("truncated.jpg", errors.ImageTruncated, jpeg[:WITHIN_THE_HEADER]),
        ("bomb.png", errors.ImageTooManyPixels, _png(BOMB_SIDE_PX, BOMB_SIDE_PX)),
        ("zero-size.png", errors.ImageZeroSize, _png(0, 0)),
        ("text.png", errors.NotAnImage, b"This is text, whatever its name says.\n"),
        ("drawing.svg", errors.ImageIsSvg, b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>\n'),
        ("phone.heic", errors.ImageIsHeic, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)),
    ]
    return [BadReference(name, expected, jpeg, spoil) for name, expected, spoil in messages] + [
        BadReference(name, expected, data, _honest) for name, expected, data in images
    ]


def _honest(ref: dict[str, Any]) -> bytes:
    return orjson.dumps(ref)


def _with(**fields: str) -> Spoil:
    return lambda ref: _honest({**ref, **fields})


def _with_object(**fields: str) -> Spoil:
    return lambda ref: _honest({**ref, "object": {**ref["object"], **fields}})


def _jpeg() -> bytes:
    """Return a small picture."""
    target = io.BytesIO()
    Image.effect_mandelbrot((256, 256), (-2.0, -1.5, 1.0, 1.5), 60).convert("RGB").save(target, "JPEG", quality=90)
    return target.getvalue()


def _png(width: int, height: int) -> bytes:
    """Return a black 1-bit PNG of any size: 20,000 x 20,000 pixels, 1.2 GB as RGB, are 50 KB as a file."""
    packed = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join([packed.compress(row) for _ in range(height)]) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
