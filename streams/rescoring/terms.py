"""What is agreed at the first run of a replay and holds for all later ones, and how far it has come: kept in the group's commits.

Offset, counts and terms are one commit of the broker's, so they cannot disagree, whenever the process dies. Nothing else has to be writable
for a replay to go on, and nothing is left behind when the broker forgets the group.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Instant, Message
from schemas.errors import CheckFailed, MessageInvalid, UsageError
from streams.rescoring.selection import Selection

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_MARK_BYTES: Final = 4096
"""`offset.metadata.max.bytes` of a Kafka broker that nobody has changed."""
ROOM_FOR_COUNTS: Final = 1200
SKEW: Final = timedelta(hours=1)
"""How far the clocks of producers, workers and whoever replays may be apart."""

Count = Annotated[int, Field(ge=0)]


def checked_name(text: str) -> str:
    """Return `text` if a replay may be called so: it becomes part of a consumer group's name and of an object key.

    Raises:
        UsageError
    """
    if NAME.fullmatch(text) is None:
        raise UsageError(
            f"{text!r}: not a name for a replay",
            remedy="Use 1 to 64 lower-case letters, digits, dots, hyphens and underscores, such as flux-2-backfill.",
        )
    return text


class Judge(Message):
    """Who judges, and by which rules: another one would give other verdicts under the same name."""

    version: str
    sha256: str
    min_confidence: float | None = None
    stability: str = "off"
    overlays: bool = False


class Terms(Message):
    """The selection and the judge of one replay. `from_text` and `to_text` are what was typed: `2h` means the same range at every run."""

    selection: Selection
    judge: Judge
    started: Instant
    from_text: str | None = None
    to_text: str | None = None

    def differences(self, asked: "Terms") -> Iterator[str]:
        """Yield what `asked` wants otherwise, in words; `started` is nobody's wish."""
        ours, theirs = self.selection, asked.selection
        if self.from_text != asked.from_text and ours.since != theirs.since:
            yield _changed("--from", self.from_text, asked.from_text)
        if self.to_text != asked.to_text and ours.until != theirs.until:
            yield _changed("--to", self.to_text, asked.to_text)
        for name in ("model", "prefix", "bucket", "tenant"):
            before, now = getattr(ours, name), getattr(theirs, name)
            if before != now:
                yield _changed(f"--{name}", before, now)
        if self.judge.sha256 != asked.judge.sha256:
            yield (
                f"the model that judges {self.judge.version} ({self.judge.sha256[:12]}), "
                f"now {asked.judge.version} ({asked.judge.sha256[:12]})"
            )
        for name in ("min_confidence", "stability", "overlays"):
            before, now = getattr(self.judge, name), getattr(asked.judge, name)
            if before != now:
                yield _changed(name, before, now)


class Mark(Message):
    """What lies beside a partition's committed offset. `end` is where its range ends, `begin` where it began.

    `run` names the process that wrote it and `beat` counts its commits: whoever finds another's mark that still changes is not alone.
    `left_out` did not meet the selection, `repeated` had been replayed already, `expired` were dropped by the broker between two runs.
    """

    schema_: Literal["deeptrace.replay-mark/1"] = Field(default="deeptrace.replay-mark/1", alias="schema")
    terms: Terms
    begin: Count
    end: Count
    run: str = ""
    beat: Count = 0
    is_open: bool = False
    replayed: Count = 0
    left_out: Count = 0
    repeated: Count = 0
    unreadable: Count = 0
    expired: Count = 0
    failed: dict[str, Count] = Field(default_factory=dict)

    def metadata(self) -> str:
        """Return the mark as a commit carries it."""
        return self.to_bytes().decode()


def read_mark(group: str, metadata: str) -> Mark:
    """Return the mark beside a committed offset of `group`.

    Raises:
        CheckFailed: something else commits in this group, or a newer release.
    """
    try:
        return Mark.from_bytes(metadata.encode())
    except MessageInvalid as error:
        raise CheckFailed(
            f"what the group {group} has committed was not written by this command",
            why=error.why,
            remedy="Choose another NAME, or upgrade if a newer release wrote it.",
        ) from None


def require_room(mark: Mark) -> None:
    """Return if the mark, with all that will be counted in it, fits beside an offset.

    Raises:
        UsageError
    """
    if len(mark.to_bytes()) > MAX_MARK_BYTES - ROOM_FOR_COUNTS:
        raise UsageError(
            "the conditions are too long to be kept",
            why=f"they are committed to the broker, which keeps {MAX_MARK_BYTES} bytes",
            remedy="Use a shorter --prefix.",
        )


def _changed(name: str, before: object, now: object) -> str:
    return f"{f'no {name}' if before is None else f'{name} {before}'}, now {'none' if now is None else now}"


def require_same(name: str, stored: Terms, asked: Terms) -> None:
    """Return if both are the same replay.

    Raises:
        UsageError: naming what differs.
    """
    if different := list(stored.differences(asked)):
        raise UsageError(
            f"the replay {name} was begun otherwise",
            why="; ".join(different),
            remedy=f"Go on with `deeptrace replay {name} {stored.selection.options()}` and model {stored.judge.version}, or choose another NAME.",
        )
