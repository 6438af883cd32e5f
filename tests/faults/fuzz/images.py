"""Spoiled images through the real decoder processes: each must come to a picture or to an error of an image, within the limits."""

import asyncio
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from faults.fuzz.mutate import spoil_bytes
from PIL import Image, ImageCms, PngImagePlugin
from support.hostile import PNG_SIGNATURE, VERDICT, chunk, save

from model.decode_pool import DecodePool
from model.limits import DEFAULT_LIMITS, DecodeLimits
from schemas.errors import DecodeTimeout, DeepTraceError, ImageRejected, ObjectRejected

_SIDES: Final = (0, 1, 2, 255, 256, 6000, 16_384, 65_535, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_MOST_BYTES: Final = (32 << 20) + 1


@cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """One sound file of each kind that the project can make, small enough to be spoiled everywhere."""
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    smooth = Image.linear_gradient("L").resize((300, 240)).convert("RGB")
    grey, clear, palette = smooth.convert("L"), noise.convert("RGBA"), smooth.convert("P")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    srgb = srgb[:24] + bytes(12) + srgb[36:]  # when it was made: the same seed must spoil the same bytes tomorrow
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8825] = 6, "maker", {1: "N", 2: (1.0, 2.0, 3.0)}
    block = exif.tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "packed " * 50, zip=True)
    text.add_itxt("note", "packed " * 50, zip=True)
    text.add_text("plain", "text")
    moving: dict[str, object] = {
        "save_all": True,
        "append_images": [noise.rotate(90), noise.rotate(180)],
        "duration": 40,
    }
    avif: dict[str, object] = {"speed": 10, "max_threads": 1}
    made: tuple[tuple[str, Image.Image, str, dict[str, object]], ...] = (
        ("jpeg", smooth, "JPEG", {"exif": block, "icc_profile": srgb}),
        ("jpeg noise 4:4:4", noise, "JPEG", {"subsampling": 0, "quality": 98}),
        ("jpeg progressive", smooth, "JPEG", {"progressive": True}),
        ("jpeg grey", grey, "JPEG", {"comment": b"a comment"}),
        ("jpeg cmyk", noise.convert("CMYK"), "JPEG", {}),
        ("jpeg restarts", noise, "JPEG", {"restart_marker_blocks": 1}),
        ("jpeg pair", noise, "MPO", {"save_all": True, "append_images": [noise]}),
        ("png", smooth, "PNG", {"exif": block, "pnginfo": text, "icc_profile": srgb}),
        ("png noise", noise, "PNG", {"compress_level": 1}),
        ("png alpha", clear, "PNG", {}),
        ("png 16 bit", Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20), "PNG", {}),
        ("png palette", palette, "PNG", {"transparency": 3}),
        ("png bits", noise.convert("1"), "PNG", {}),
        ("apng", noise, "PNG", moving),
        ("webp", smooth, "WEBP", {"exif": block, "icc_profile": srgb}),
        ("webp lossless", noise, "WEBP", {"lossless": True}),
        ("webp alpha", clear, "WEBP", {}),
        ("webp moving", noise, "WEBP", moving),
        ("gif", palette, "GIF", {"transparency": 2, "comment": b"a comment"}),
        ("gif moving", noise, "GIF", {**moving, "disposal": 2, "loop": 0}),
        ("gif interlaced", noise.convert("P"), "GIF", {"interlace": True}),
        ("avif", smooth, "AVIF", {**avif, "exif": block, "icc_profile": srgb}),
        ("avif alpha", clear, "AVIF", avif),
        ("avif moving", noise, "AVIF", {**avif, **moving}),
    )
    return tuple((name, _timeless(save(image, kind, **options))) for name, image, kind, options in made)


def _timeless(data: bytes) -> bytes:
    """Set the times of a film's boxes to zero, for the same reason."""
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.find(name)
        while at >= 0:
            start, length = at + 8, 16 if data[at + 4] else 8
            data = data[:start] + bytes(length) + data[start + length :]
            at = data.find(name, at + 4)
    return data


def images(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` spoiled images with the names of what they were, the same for the same seed."""
    files = seeds()
    others = tuple(data for _, data in files)
    for number in range(count):
        draw = random.Random(f"{seed}-{number}")
        name, data = draw.choice(files)
        ways = (_bytes, _bytes, _bytes, _bytes, *_WAYS.get(data[:4], ()), *_WAYS.get(data[4:8], ()))
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            data = draw.choice(ways)(data, draw, others)[:_MOST_BYTES]
        yield f"{number} {name}", data


def _again(part: bytes, times: int) -> bytes:
    """Repeat, but not beyond what is a large file."""
    return part * min(times, 1 + _MOST_BYTES // max(1, len(part)))


def _bytes(data: bytes, draw: random.Random, others: tuple[bytes, ...]) -> bytes:
    return spoil_bytes(data, draw, others=others, times=2)


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _png(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    """Change a chunk and give it a right checksum, so that the decoder goes on into it."""
    chunks = _png_chunks(data)
    if not chunks:
        return data
    at = draw.randrange(len(chunks))
    name, body = chunks[at]
    kind = draw.randrange(7)
    if kind == 0:
        chunks[at] = (name, spoil_bytes(body, draw))
    elif kind == 1:
        chunks[at : at + 1] = [(name, body)] * draw.choice((2, 5, 1500))
    elif kind == 2:
        draw.shuffle(chunks)
    elif kind == 3:
        chunks[at] = (
            draw.choice((b"IDAT", b"PLTE", b"tRNS", b"fcTL", b"acTL", b"zTXt", b"iCCP", b"eXIf", b"IEND")),
            body,
        )
    elif kind == 4 and len(chunks[0][1]) >= 13:
        sides = struct.pack("!II", draw.choice(_SIDES), draw.choice(_SIDES))
        chunks[0] = (
            b"IHDR",
            sides + bytes((draw.choice((1, 2, 4, 8, 16)), draw.choice((0, 2, 3, 4, 6)), 0, 0, draw.randrange(2))),
        )
    elif kind == 5 and name in {b"IDAT", b"zTXt", b"iCCP"}:
        chunks[at] = (name, body[:12] + zlib.compress(bytes(draw.choice((10, 10_000, 5_000_000))), 1))
    else:
        del chunks[at]
    return PNG_SIGNATURE + b"".join(chunk(*part) for part in chunks)


def _jpeg(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    """Change a segment's length, the frame's size and sampling, or repeat a segment or the scans."""
    marks = [at for at in range(2, len(data) - 4) if data[at] == 0xFF and data[at + 1] not in {0, 0xFF}]
    if not marks:
        return data
    at = draw.choice(marks)
    kind = draw.randrange(5)
    if kind == 0:
        return (
            data[: at + 2] + draw.choice((0, 1, 2, 65_535, draw.randrange(65_536))).to_bytes(2, "big") + data[at + 4 :]
        )
    frames = [mark for mark in marks if data[mark + 1] in {0xC0, 0xC2}]
    if kind == 1 and frames:
        frame = draw.choice(frames)
        sides = struct.pack("!HH", draw.choice(_SIDES) & 0xFFFF, draw.choice(_SIDES) & 0xFFFF)
        return data[: frame + 5] + sides + data[frame + 9 :]
    if kind == 2 and frames:
        frame = draw.choice(frames)
        return data[: frame + 10] + spoil_bytes(data[frame + 10 : frame + 19], draw, times=1) + data[frame + 19 :]
    if kind == 3:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        return data[:at] + _again(data[at:end], draw.choice((2, 20, 1500))) + data[end:]
    scans = data.rfind(b"\xff\xda")
    return data[:-2] + _again(data[scans:-2], draw.choice((2, 50, 2000))) + data[-2:]


def _boxes(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    """Change the length of a RIFF chunk or of a box, or the size that a header declares."""
    webp = data[:4] == b"RIFF"
    names = (
        (b"VP8X", b"VP8 ", b"VP8L", b"ANMF", b"ALPH", b"ICCP")
        if webp
        else (b"meta", b"ispe", b"iloc", b"ipma", b"av1C", b"mdat", b"moov", b"stsz", b"stco", b"colr")
    )
    found = [at for name in names if (at := data.find(name)) >= 0]
    if not found:
        return data
    at = draw.choice(found)
    body = at + (8 if webp else 4)
    value = draw.choice((*_SIDES, len(data), draw.randrange(1 << 32))) & 0xFFFFFFFF
    if draw.random() < 0.5:
        place = at + 4 if webp else at - 4
        return data[:place] + value.to_bytes(4, "little" if webp else "big") + data[place + 4 :]
    reach = draw.randrange(body, min(body + 24, len(data)) + 1)
    return data[:reach] + value.to_bytes(4, draw.choice(("little", "big"))) + data[reach + 4 :]


def _gif(data: bytes, draw: random.Random, _others: tuple[bytes, ...]) -> bytes:
    """Change the screen, a frame's place and size, or repeat a frame."""
    at = data.find(b",")
    kind = draw.randrange(3)
    side = struct.pack("<HH", draw.choice(_SIDES) & 0xFFFF, draw.choice(_SIDES) & 0xFFFF)
    if kind == 0 or at < 0:
        return data[:6] + side + data[10:]
    if kind == 1:
        place = at + draw.choice((1, 5))
        return data[:place] + side + data[place + 4 :]
    return data[:-1] + _again(data[at:-1], draw.choice((1, 3, 200, 600))) + b";"


_WAYS: Final[dict[bytes, tuple[Callable[[bytes, random.Random, tuple[bytes, ...]], bytes], ...]]] = {
    PNG_SIGNATURE[:4]: (_png, _png, _png, _png),
    b"\xff\xd8\xff\xe0": (_jpeg, _jpeg, _jpeg),
    b"\xff\xd8\xff\xee": (_jpeg, _jpeg, _jpeg),
    b"RIFF": (_boxes, _boxes),
    b"GIF8": (_gif, _gif),
    b"ftyp": (_boxes, _boxes, _boxes),
}


@dataclass
class Count:
    """What became of the images, and what the worst of them cost."""

    images: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    slowest: str = ""
    largest_kib: int = 0
    largest: str = ""
    deaths: int = 0
    timeouts: int = 0
    faults: list[str] = field(default_factory=list)


async def run(
    count: int,
    seed: int,
    *,
    processes: int = 2,
    limits: DecodeLimits = DEFAULT_LIMITS,
    progress: Callable[[Count], None] = lambda _: None,
) -> Count:
    """Decode `count` spoiled images; faults are told with the number and seed that make them anew."""
    found = Count()
    work = images(count, seed)

    async def lane() -> None:
        with DecodePool(1, limits=limits) as pool:  # one process each: what it costs is told by its own memory
            await asyncio.to_thread(pool.warm_up)
            for name, data in work:
                await _decode(pool, name, data, found)
                progress(found)
            found.deaths += pool.restarts
            good = await pool.decode(seeds()[0][1], seed=b"")
            if (good.width, good.height) != (240, 300):  # its EXIF turns it
                found.faults.append("after all of them a sound picture is not decoded rightly")

    await asyncio.gather(*(lane() for _ in range(processes)))
    return found


async def _decode(pool: DecodePool, name: str, data: bytes, found: Count) -> None:
    began = time.perf_counter()
    try:
        await pool.decode(data, seed=b"")
        code = VERDICT
    except DeepTraceError as error:
        code = error.code
        if not isinstance(error, ImageRejected | ObjectRejected | DecodeTimeout):
            found.faults.append(f"{name}: {code}: {error}"[:300])
        found.timeouts += isinstance(error, DecodeTimeout)
    except Exception as error:  # noqa: BLE001  # any is a finding
        code = type(error).__name__
        found.faults.append(f"{name}: {code}: {error}"[:300])
    took_ms = (time.perf_counter() - began) * 1000
    found.images += 1
    found.codes[code] += 1
    if took_ms > found.slowest_ms:
        found.slowest_ms, found.slowest = took_ms, f"{name}: {code}"
    peak_kib = max(map(_peak_kib, pool.pids), default=0)
    if peak_kib > found.largest_kib:
        found.largest_kib, found.largest = peak_kib, f"{name}: {code}"


def _peak_kib(pid: int) -> int:
    """Return the most memory that a process has ever held; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
