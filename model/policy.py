"""The pixel policies: part of the model, named, frozen, stored in the checkpoint and repeated in every verdict.

`crops5-224-native-v1`, in this order:

1. the first frame only, turned upright by EXIF (a broken EXIF block counts as upright);
2. 16-bit grey to 8 bit by its high byte; palette, grey and CMYK to RGB;
3. an ICC profile under 1 MiB is converted to sRGB (relative colorimetric, through LittleCMS), unless it moves no colour of a
   probe grid by more than 2 of 255: then the pixels stay as they are, for a rounding pass would touch the spectrum for nothing;
4. alpha is flattened on white;
5. crops of 224 x 224 at native resolution, never resized: the centre and up to four more at distinct places drawn from
   SHA-256 of the content's hash; a side under 224 is reflect-padded around the picture and flagged `low_res`;
6. the view: the whole picture squashed to 224 x 224 (bicubic, antialiased), for a crop would hide what lies outside it;
7. the thumb for overlays: the longest side at most 512. The model never sees it.
"""

from dataclasses import dataclass
from typing import Final

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PixelPolicy:
    """One way from a file to pixels; two policies never share an id."""

    preprocess_id: str
    crops: int


DEFAULT_POLICY: Final = PixelPolicy(preprocess_id="crops5-224-native-v1", crops=5)
_POLICIES: Final = {
    policy.preprocess_id: policy
    for policy in (DEFAULT_POLICY, PixelPolicy(preprocess_id="crops1-224-native-v1", crops=1))
}


def policy_of(preprocess_id: str) -> PixelPolicy:
    """Return the policy with this id; raises `ConfigError` where this release has none."""
    try:
        return _POLICIES[preprocess_id]
    except KeyError:
        raise ConfigError(
            f"unknown pixel policy {preprocess_id!r}",
            why=f"this release knows {', '.join(sorted(_POLICIES))}",
            remedy="Use a checkpoint made for one of them, or a release that has this policy.",
        ) from None
