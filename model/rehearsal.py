"""Decodes a file of every kind once: whatever Python, Pillow or a codec loads on first use is loaded then, and shown to work.

A decoder does so before it enters the sandbox, in which no module and no library can be opened any more, and again inside.
"""

import io
from functools import cache
from typing import Final

# Pillow imports these within functions, the first time a file needs them.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageColor,
    ImageFilter,
    ImagePalette,
    ImageSequence,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from model.decode import decode
from model.limits import DecodeLimits
from model.pixels import preprocess
from model.policy import PixelPolicy
from schemas.errors import DeepTraceError

_SIDE: Final = 240  # more than a crop, so that cutting and shrinking are rehearsed too
_UPSIDE_DOWN: Final = 3


def rehearse(policy: PixelPolicy, limits: DecodeLimits) -> None:
    """Decode and cut a sound file of every kind, and meet one broken; raises what decoding raises."""
    for data in _files():
        preprocess(data, policy, seed=b"", limits=limits)
        _meet_broken(data[: len(data) * 2 // 3], limits)


def _meet_broken(data: bytes, limits: DecodeLimits) -> None:
    try:
        decode(data, limits)
    except DeepTraceError:
        return


@cache
def _files() -> list[bytes]:
    """One small file for each way through the decoder: formats, modes, profiles, orientation, animation, metadata."""
    picture = Image.linear_gradient("L").resize((_SIDE, _SIDE)).convert("RGB")
    small = picture.resize((16, 12))
    exif = Image.Exif()
    exif[0x0112] = _UPSIDE_DOWN
    block = exif.tobytes()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "packed", zip=True)
    text.add_itxt("note", "packed", zip=True)
    moving: dict[str, object] = {"save_all": True, "append_images": [small.rotate(90)], "duration": 40}
    palette, clear = small.convert("P"), small.convert("RGBA")
    clear.putalpha(100)
    return [
        _save(picture, "JPEG", exif=block, icc_profile=srgb),
        _save(small, "JPEG", progressive=True, icc_profile=profile),
        _save(small.convert("CMYK"), "JPEG"),
        _save(small.convert("L"), "JPEG", icc_profile=b"no profile"),
        _save(small, "MPO", save_all=True, append_images=[small]),
        _save(picture, "PNG", exif=block, pnginfo=text),
        _save(clear, "PNG", icc_profile=srgb),
        _save(palette, "PNG", transparency=0),
        _save(small.convert("I;16"), "PNG"),
        _save(small.convert("LA"), "PNG"),
        _save(small.convert("1"), "PNG"),
        _save(small, "PNG", **moving),
        _save(picture, "WEBP", exif=block, icc_profile=srgb),
        _save(clear, "WEBP", lossless=True),
        _save(small, "WEBP", **moving),
        _save(palette, "GIF", transparency=0),
        _save(small, "GIF", **moving),
        _save(small, "AVIF", speed=10, max_threads=1, exif=block, icc_profile=srgb),
        _save(clear, "AVIF", speed=10, max_threads=1),
        _save(small, "AVIF", speed=10, max_threads=1, **moving),
    ]


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()
