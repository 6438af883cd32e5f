"""The wall clocks of workers, set by hand while they run: a small library of ours that is compiled here and preloaded into them."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class Clocks:
    """Sets clocks by slot. Without a C compiler they all stay right, and `can_skew` says so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = folder / "skewed_clock.so"
        compiler = shutil.which("cc")
        self.can_skew = compiler is not None
        if compiler is not None:
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE), "-ldl"], check=True
            )

    def environment(self, slot: int, _life: int = 0) -> dict[str, str]:
        """Return what the worker of a slot is started with."""
        if not self.can_skew:
            return {}
        if not self._file(slot).exists():
            self.set(slot, 0)
        return {"LD_PRELOAD": str(self._library), "SKEWED_CLOCK_FILE": str(self._file(slot))}

    def set(self, slot: int, seconds: int) -> None:
        """Put a worker's clock this far ahead; it holds at once."""
        with self._file(slot).open("r+b" if self._file(slot).exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", seconds))

    def _file(self, slot: int) -> Path:
        return self._folder / f"clock-{slot}"
