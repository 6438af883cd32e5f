"""How many frames a file has, without decoding one and without walking past the cap."""

from PIL import Image

from model.gif_blocks import EXTENSION, IMAGE, TRAILER, table_bytes
from model.sniff import Format


def count_frames(data: bytes, kind: Format, image: Image.Image, cap: int) -> int:
    """Return the number of frames, at most `cap + 1`. Further pictures in a JPEG (MPO) are no frames."""
    if kind == "JPEG":
        return 1
    if kind == "GIF":
        return max(1, gif_frames(data, cap)[0])
    return min(int(getattr(image, "n_frames", 1)), cap + 1)


def gif_frames(data: bytes, cap: int) -> tuple[int, bool]:
    """Return the frames of a GIF up to `cap + 1`, and whether the file runs to its trailer (or past the cap).

    Pillow's `n_frames` walks all of them; a 32 MiB file can hold millions.
    """
    frames, at = 0, 13 + table_bytes(data[10:11])
    while at < len(data) and frames <= cap:
        block = data[at]
        if block == TRAILER:
            return frames, True
        if block == EXTENSION:
            at = _skip_blocks(data, at + 2)
        elif block == IMAGE:
            frames += 1
            at = _skip_blocks(data, at + 11 + table_bytes(data[at + 9 : at + 10]))
        else:  # Pillow skips what it does not know, byte by byte
            at += 1
    return frames, frames > cap


def _skip_blocks(data: bytes, at: int) -> int:
    """Return where the chain of sub-blocks that starts at `at` has ended."""
    while at < len(data) and (length := data[at]):
        at += length + 1
    return at + 1
