"""Which verdicts of the past are judged again."""

from datetime import datetime

from schemas.base import Instant, Message, rfc3339
from schemas.verdict import Verdict


class Selection(Message):
    """A verdict is taken that meets all conditions; what is absent is none.

    `since` and `until` (not included) are event times: the reference's, or when the verdict was written where it has none, as in windows.
    `model` is the version that judged.
    """

    since: Instant | None = None
    until: Instant | None = None
    model: str | None = None
    prefix: str | None = None
    bucket: str | None = None
    tenant: str | None = None

    def takes(self, verdict: Verdict, *, written_at: datetime) -> bool:
        """Return whether the verdict, which was put on its topic at `written_at`, is one to judge again."""
        happened = verdict.source.event_time or written_at
        return (
            (self.since is None or happened >= self.since)
            and (self.until is None or happened < self.until)
            and self.model in {None, verdict.model.version}
            and self.bucket in {None, verdict.object.bucket}
            and self.tenant in {None, verdict.tenant}
            and verdict.object.key.startswith(self.prefix or "")
        )

    @property
    def takes_all(self) -> bool:
        """Whether it has no condition at all."""
        return not self.to_json()

    def options(self) -> str:
        """Return the conditions as they are written on the command line."""
        named = {
            "--from": None if self.since is None else rfc3339(self.since),
            "--to": None if self.until is None else rfc3339(self.until),
            "--model": self.model,
            "--prefix": self.prefix,
            "--bucket": self.bucket,
            "--tenant": self.tenant,
        }
        return " ".join(f"{option} {value}" for option, value in named.items() if value is not None) or "--all"
