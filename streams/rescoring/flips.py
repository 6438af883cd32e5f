"""What the new model says beside what the old one said, of every verdict that was replayed, be it in this run or before."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from schemas.errors import MessageInvalid
from schemas.incoming import Record
from schemas.shadow import Opinion, ShadowVerdict
from schemas.verdict import Verdict
from streams.releases.comparison import Pairs
from streams.rescoring.replayed import REPLAY_AT, REPLAY_BEFORE, REPLAY_NAME, opinion_of
from streams.rescoring.windows import ReplayWindows

Place = tuple[int, int]
"""Partition and offset of a verdict."""
Truth = Callable[[str], bool | None]


class Flips:
    """Pairs of old and new. It also knows which ids are on the replay topic already, so that none is published a second time."""

    def __init__(self, truth: Truth = lambda _: None, windows: ReplayWindows | None = None) -> None:
        """Take what tells of an old outcome id whether reviewers have called its image AI, where they have; and windows to count the pairs in."""
        self._truth = truth
        self.windows = windows
        self.pairs = Pairs()
        self.before = Counter[str]()
        """How many of the old verdicts each model version had given."""

    def knows(self, outcome_id: str) -> bool:
        """Return whether this replayed verdict is published."""
        return outcome_id in self.pairs.seen

    def take(self, new: Verdict, before: Opinion, *, written_at: datetime) -> None:
        """Count a replayed verdict and what it stands against; one that was counted before counts no more.

        `written_at` is when the old verdict or its repeat was written, for an image without an event time.
        """
        pair = ShadowVerdict(
            outcome_id=new.outcome_id,
            tenant=new.tenant,
            judged=new.source.event_time or written_at,
            champion=before,
            candidate=opinion_of(new),
        )
        if self.pairs.take(pair, is_ai=self._truth(new.replay_of or "")):
            self.before[before.version] += 1
            if self.windows is not None:
                self.windows.take(new, before, written_ms=round(written_at.timestamp() * 1000))

    async def take_all(
        self, records: AsyncIterator[Record], *, name: str, sha256: str, beyond: Mapping[int, int]
    ) -> set[Place]:
        """Count what earlier runs of the replay `name` with this model have published; other replays' records, and unreadable ones, are none.

        Returns the places of the verdicts that are replayed already though they lie `beyond` the committed offsets: of a run that was killed.
        """
        published = set[Place]()
        async for record in records:
            headers = dict(record.headers)
            if headers.get(REPLAY_NAME) != name.encode():
                continue
            try:
                verdict = Verdict.from_bytes(record.value or b"")
                before = Opinion.from_bytes(headers.get(REPLAY_BEFORE) or b"")
                partition, offset = map(int, (headers.get(REPLAY_AT) or b"").split(b":"))
            except (MessageInvalid, ValueError):
                continue
            if verdict.model.sha256 == sha256:
                self.take(verdict, before, written_at=record.timestamp)
                if offset >= beyond.get(partition, 0):
                    published.add((partition, offset))
        return published
