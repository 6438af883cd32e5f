"""How a release is named: `detector@1.2.0` is one version for good, `detector@champion` is whatever that alias points at."""

import re
from dataclasses import dataclass
from typing import Final

from schemas.errors import UsageError
from schemas.release import ALIASES, RELEASE_PATTERN, Alias, is_version

DEFAULT_MODEL: Final = "detector"


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """A model, and either a version of it or an alias."""

    model: str
    version: str | None = None
    alias: Alias | None = None

    @classmethod
    def parse(cls, text: str) -> "ReleaseName":
        """Read `MODEL@VERSION` or `MODEL@ALIAS`.

        Raises:
            UsageError: it is neither.
        """
        model, _, pointer = text.partition("@")
        for alias in ALIASES:
            if pointer == alias and re.match(RELEASE_PATTERN, text):
                return cls(model, alias=alias)
        if not re.match(RELEASE_PATTERN, text) or not is_version(pointer):
            raise UsageError(
                f"{text}: not a release", remedy="Write MODEL@VERSION or MODEL@ALIAS, such as detector@champion."
            )
        return cls(model, version=pointer)

    @classmethod
    def of(cls, text: str) -> "ReleaseName":
        """Read the same as a person types it: without `MODEL@` it is the detector.

        Raises:
            UsageError
        """
        return cls.parse(text if "@" in text else f"{DEFAULT_MODEL}@{text}")

    def __str__(self) -> str:
        return f"{self.model}@{self.alias or self.version}"
