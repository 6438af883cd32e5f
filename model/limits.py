"""What decoding one image may cost."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Caps on one image (bytes, pixels, frames, time) and on the process that decodes it (memory, images before recycling)."""

    max_bytes: int = 32 * MIB
    max_pixels: int = 40_000_000
    max_frames: int = 500
    max_total_pixels: int = 200_000_000  # frames x pixels of an animation
    max_icc_bytes: int = MIB
    max_metadata_parts: int = 1000  # chunks of a PNG, segments of a JPEG: real ones have tens, a profile of 16 MB 255
    max_scan_pixels: int = 2_000_000_000  # scans x pixels of a JPEG: 50 over the largest picture, real ones have ten
    wall_s: float = 5.0
    cpu_s: int = 4  # under the wall limit: who runs into this one was not held up by others
    memory_bytes: int = 1024 * MIB
    images_per_child: int = 1000


DEFAULT_LIMITS: Final = DecodeLimits()
