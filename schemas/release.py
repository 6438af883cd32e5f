"""A model release as it lies in the object store: its manifest, and the moves of the aliases that point at it.

Nothing is ever overwritten: a version is written once, and each move of an alias is an object of its own, numbered and written by a
conditional put. So of two people who promote at once one is told, on every store that keeps `If-None-Match` (S3Proxy 4.1 lets several
writers with `If-Match` win, measured 2026-11-22: up to 7 of 8), and the moves are the record of who was served when.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from schemas.base import Instant, Message

MANIFEST_SCHEMA: Final = "deeptrace.release/1"
MOVE_SCHEMA: Final = "deeptrace.release-move/1"
PREFIX: Final = "models/"
MAX_MESSAGE_BYTES: Final = 256 * 1024
"""More than a manifest or a move needs."""

Alias = Literal["champion", "shadow"]
ALIASES: Final[tuple[Alias, ...]] = ("champion", "shadow")
MAX_PREVIOUS: Final = 50
"""How far back `rollback` can go."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
VERSION_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$"
RELEASE_PATTERN: Final = NAME_PATTERN[:-1] + "@" + VERSION_PATTERN[1:]

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Version = Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def release_prefix(name: str, version: str = "") -> str:
    """Return the prefix of a model's releases, or of one of them."""
    return f"{PREFIX}{name}/" + (f"{version}/" if version else "")


def move_prefix(name: str, alias: Alias) -> str:
    """Return the prefix of an alias's moves. No version can be called `aliases`."""
    return f"{PREFIX}{name}/aliases/{alias}/"


def move_key(name: str, alias: Alias, number: int) -> str:
    """Return the key of the `number`-th move (from 1); keys sort as numbers do."""
    return f"{move_prefix(name, alias)}{number:06d}.json"


def is_version(text: str) -> bool:
    """Whether a release may have this version: an alias and the folder of the aliases may not be mistaken for one."""
    return re.match(VERSION_PATTERN, text) is not None and text not in {*ALIASES, "aliases"}


class ReleaseManifest(Message):
    """What a release is. It is written last: a release without a manifest does not exist.

    `sha256` and `size_bytes` are of `model.safetensors`, the rest is what that file says of itself. `figures` are the headline figures of the
    report card, whose hash is `report_sha256`.
    """

    schema_: Literal["deeptrace.release/1"] = Field(default=MANIFEST_SCHEMA, alias="schema")
    name: Name
    version: Version
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=1)]
    classes: tuple[str, ...]
    preprocess_id: str
    kind: str
    training_data: str
    calibration_id: str
    created: Instant
    figures: dict[str, float] = Field(default_factory=dict)
    report_sha256: Sha256 | None = None
    has_html: bool = False
    note: str = ""


class ReleaseMove(Message):
    """One move of an alias, and with it where the alias points: at `version`, or at nothing where that is absent.

    `previous` is what a rollback goes back to, the last first undone. `sha256` pins the bytes: a manifest that changes afterwards is not believed.
    """

    schema_: Literal["deeptrace.release-move/1"] = Field(default=MOVE_SCHEMA, alias="schema")
    name: Name
    alias: Alias
    number: Annotated[int, Field(ge=1)]
    action: Literal["promote", "rollback"]
    version: Version | None = None
    sha256: Sha256 | None = None
    previous: tuple[Version, ...] = ()
    moved: Instant
