"""`make fuzz`: spoiled references through the pipeline and spoiled images through the decoders; exit 3 if one of them had no outcome."""

import argparse
import asyncio
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from faults.fuzz import images, references

EXIT_FOUND = 3


class Progress:
    """A line on standard error now and then."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._said = self._began = time.monotonic()

    def __call__(self, done: int, faults: int) -> None:
        """Say how far we are, at most every five seconds."""
        now = time.monotonic()
        if now - self._said > 5 or done == self._total:
            self._said = now
            print(f"{self._what}: {done} of {self._total}, {faults} faults, {now - self._began:.0f} s", file=sys.stderr)


async def _references(count: int, seed: int) -> dict[str, Any]:
    say, began = Progress("references", count), time.monotonic()
    found = await references.run(count, seed, progress=lambda now: say(now.records, len(now.faults)))
    return vars(found) | {"seconds": round(time.monotonic() - began, 1)}


async def _images(count: int, seed: int) -> dict[str, Any]:
    say, began = Progress("images", count), time.monotonic()
    found = await images.run(count, seed, progress=lambda now: say(now.images, len(now.faults)))
    return vars(found) | {"seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """Fuzz as told by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=100_000, help="spoiled references")
    parser.add_argument("--images", type=int, default=20_000, help="spoiled images")
    parser.add_argument("--seed", type=int, default=7, help="the same seed spoils the same way")
    parser.add_argument("--json", type=Path, help="write the figures here")
    told = parser.parse_args()
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "seed": told.seed,
        "references": asyncio.run(_references(told.references, told.seed)) if told.references else None,
        "images": asyncio.run(_images(told.images, told.seed)) if told.images else None,
    }
    text = json.dumps(result, indent=2)
    if told.json:
        told.json.write_text(text + "\n")
    print(text)
    parts = [part for part in (result["references"], result["images"]) if isinstance(part, dict)]
    return EXIT_FOUND if any(part["faults"] for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
