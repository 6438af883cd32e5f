"""Reads files of strangers: each is decoded in a sandboxed process under limits, and what cannot be read is told, not raised."""

import asyncio
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from model.decode_pool import DecodePool
from model.limits import DEFAULT_LIMITS, DecodeLimits
from schemas.errors import DecodeTimeout, ObjectTooLarge, Rejection
from training.corpus.build import cores
from training.facts import ONE_CROP, FileFacts, with_pixels

_EACH = 2  # files under way for each decoder: one is read while the other is decoded

Shown = Callable[[], None]


def inspect_files(
    paths: Sequence[Path],
    *,
    processes: int | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
    shown: Shown = lambda: None,
) -> list[FileFacts | str]:
    """Return the facts of each file in order, or the reason why it cannot be read; calls `shown` after each.

    Raises `DecoderUnavailable` where no decoder can be started.
    """
    count = max(1, min(processes or cores(), len(paths)))
    with DecodePool(count, limits=limits, policy=ONE_CROP) as pool:
        pool.warm_up()
        return asyncio.run(_inspect_all(paths, pool, limits, _EACH * count, shown))


async def _inspect_all(
    paths: Sequence[Path], pool: DecodePool, limits: DecodeLimits, at_once: int, shown: Shown
) -> list[FileFacts | str]:
    found: list[FileFacts | str] = [""] * len(paths)
    waiting: Iterator[tuple[int, Path]] = iter(enumerate(paths))

    async def work() -> None:
        for number, path in waiting:
            found[number] = await _inspect(path, pool, limits)
            shown()

    await asyncio.gather(*(work() for _ in range(at_once)))
    return found


async def _inspect(path: Path, pool: DecodePool, limits: DecodeLimits) -> FileFacts | str:
    try:
        data = await asyncio.to_thread(_read, path, limits)
        return with_pixels(data, await pool.decode(data, seed=b""))
    except (Rejection, DecodeTimeout) as error:
        return str(error)
    except OSError as error:
        return error.strerror or type(error).__name__


def _read(path: Path, limits: DecodeLimits) -> bytes:
    """Read a regular file that is not over the limit: a pipe would never end, and a film would fill the memory."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise Rejection("not a regular file")
    if about.st_size > limits.max_bytes:
        raise ObjectTooLarge(f"the file holds {about.st_size} bytes", why=f"at most {limits.max_bytes} are decoded")
    return path.read_bytes()
