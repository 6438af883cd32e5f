"""Refuses to decode with libraries that are known to be unsafe."""

from typing import Final

from PIL import features

from schemas.errors import ConfigError

_LEAST_WEBP: Final = (1, 3, 2)  # the first without CVE-2023-4863, a heap overflow in lossless WebP
_NEEDED: Final = ("jpg", "zlib", "webp", "avif", "littlecms2")


def check_codecs() -> dict[str, str]:
    """Return the version of each codec; raises `ConfigError` where one is missing or libwebp is older than 1.3.2."""
    versions = {name: features.version(name) for name in _NEEDED}
    if missing := [name for name, version in versions.items() if version is None]:
        raise ConfigError(
            "Pillow lacks codecs",
            why=f"it was built without {', '.join(missing)}",
            remedy="Install Pillow from its wheel.",
        )
    found = {name: str(version) for name, version in versions.items()}
    if webp_is_unsafe(found["webp"]):
        raise ConfigError(
            f"libwebp {found['webp']} is unsafe",
            why="CVE-2023-4863 is open before 1.3.2",
            remedy="Install Pillow >= 10.0.1.",
        )
    return found


def webp_is_unsafe(version: str) -> bool:
    """Whether this libwebp has CVE-2023-4863."""
    return tuple(int(part) for part in version.split(".")[:3]) < _LEAST_WEBP
