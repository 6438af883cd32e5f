"""Which images the demo uploads: the user's own, or simulated ones made on the spot."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from schemas.errors import UsageError
from streams.demo.children import Child
from streams.publishing import files_under

DEFAULT_COUNT = 64
SEED = 7  # the demo checkpoint's own: it knows these decoders, though not these scenes

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .avif .heic .heif .svg .bmp .tif .tiff .jp2 .j2k .ico".split()
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file to upload. `label` is what it is said to be, where somebody says so."""

    path: Path
    name: str
    label: str | None = None


def pictures_under(folder: Path, count: int | None) -> list[Picture]:
    """Return the picture files under `folder` by their extension, broken ones too; a subfolder's name is their label.

    Raises:
        UsageError: there is no such folder, or no picture in it.
    """
    found = (path for path in files_under([folder]) if path.suffix.lower() in EXTENSIONS)
    root = folder if folder.is_dir() else folder.parent
    pictures = [
        Picture(path, path.relative_to(root).as_posix(), path.parent.name if path.parent != root else None)
        for path in islice(found, count)
    ]
    if not pictures:
        raise UsageError(
            f"{folder}: no picture in it", remedy=f"Files named {', '.join(sorted(EXTENSIONS))} are taken."
        )
    return pictures


def start_samples(folder: Path, count: int, *, log: Path, environ: Mapping[str, str] = os.environ) -> Child:
    """Start making `count` simulated images in `folder`. A process of its own: serving does not know training."""
    arguments = ["training.samples", "--out", str(folder.resolve()), "--count", str(count), "--seed", str(SEED)]
    passed_on = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    folder.mkdir(parents=True, exist_ok=True)
    return Child("picture maker", arguments, log=log, work_dir=folder, environ=passed_on)


def samples_in(folder: Path) -> list[Picture]:
    """Return the images that `training.samples` wrote, with their classes."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Picture(folder / row["file"], row["file"], row["class"]) for row in index["images"]]
