"""Write simulated example images as files: `python -m training.samples --out DIR --count N --seed S`.

Formats are mixed without regard to class. No scene is one of any split that training uses, and with its seed
the decoders are the ones it knows. Imports neither torch nor the model, so it starts at once.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.corpus.build import CLASSES, on_cores, simulate
from training.corpus.files import Rgb, jpeg, png, webp
from training.corpus.plan import SAMPLES
from training.corpus.population import HOME

TRAINING_DATA = HOME.name
_IN_PROCESS = 8  # starting worker processes costs more than this many images
_FORMATS: tuple[tuple[str, Callable[[Rgb], bytes]], ...] = (
    ("jpg", partial(jpeg, quality=92)),
    ("png", png),
    ("webp", partial(webp, quality=90)),
)


def sample(number: int, *, seed: int) -> tuple[str, str, bytes]:
    """Return (file name, class, bytes) of one sample: classes take turns, each image has a scene of its own."""
    label = CLASSES[number % len(CLASSES)]
    ((_, _, pixels),) = simulate(seed, SAMPLES + number, labels=[label])
    suffix, encode = _FORMATS[number // len(CLASSES) % len(_FORMATS)]
    return f"simulated_{label}_{number:04d}.{suffix}", label, encode(pixels)


def write_samples(out: Path, count: int, seed: int) -> list[dict[str, str]]:
    """Write `count` images and index.json into `out`; equal arguments give equal bytes. Returns the index's rows."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    with on_cores(1 if count <= _IN_PROCESS else None) as ordered_map:
        for name, label, data in ordered_map(partial(sample, seed=seed), range(count)):
            (out / name).write_bytes(data)
            rows.append({"file": name, "class": label, "sha256": hashlib.sha256(data).hexdigest()})
    index = {"training_data": TRAINING_DATA, "seed": seed, "images": rows}
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.samples", description="Write simulated example images.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the images and index.json")
    parser.add_argument("--count", type=int, default=64, help="number of images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="7 is the demo checkpoint's (default: %(default)s)")
    options = parser.parse_args()
    rows = write_samples(options.out, options.count, options.seed)
    print(f"{len(rows)} simulated images in {options.out}")


if __name__ == "__main__":
    main()
