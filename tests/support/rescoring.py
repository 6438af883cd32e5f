"""A past to replay without a broker, and what a replay needs beside it: doubles that behave."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image
from support.verdicts import verdict

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas import topics
from schemas.errors import BrokerUnavailable
from schemas.incoming import Record
from schemas.verdict import JudgedObject, SourceRecord, Verdict
from storage.memory import MemoryStore
from streams.rescoring.claim import Claim
from streams.rescoring.counts import Places
from streams.rescoring.rejudging import Rejudging
from streams.rescoring.run import Run
from streams.rescoring.selection import Selection
from streams.rescoring.terms import Judge, Terms
from streams.rescoring.throttle import Throttle
from streams.settings import Settings

BUCKET, OVERLAYS = "deeptrace-images", "deeptrace-overlays"
DAY = datetime(2026, 11, 20, tzinfo=UTC)
PARTITIONS = 2
SETTINGS = Settings.model_validate(
    {
        "pipeline": {
            "retry_first_s": 0.001,
            "retry_last_s": 0.002,
            "dependency_wait_s": 0.01,
            "dependency_give_up_s": 20.0,
            "in_flight": 4,
            "drain_s": 5,
        }
    }
)


def png(seed: int) -> bytes:
    """Return a small picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def old_verdict(number: int, data: bytes | None = None, **changes) -> Verdict:
    """Return the verdict on object `a/NUMBER.png`, one second of event time after the one before."""
    data = png(number) if data is None else data
    place = {
        "bucket": BUCKET,
        "key": f"a/{number}.png",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "etag": "another",
        "format": "PNG",
        "width": 32,
        "height": 32,
        **changes.pop("object", {}),
    }
    source = SourceRecord(
        topic=topics.IMAGES,
        partition=1,
        offset=number,
        event_time=DAY + timedelta(seconds=number),
        format="native",
    )
    return verdict(number, **{"object": JudgedObject(**place), "source": source, **changes})


class InlineDecoder:
    """Decodes here and now: what a decoder process does, without the process."""

    async def decode(self, data, *, seed):
        return preprocess(data, seed=seed)


class MemoryPast:
    """The verdicts topic and the commits of one group, as a broker keeps them; `away` is a broker that does not answer."""

    def __init__(self) -> None:
        self.partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.places: Places = {}
        self.away = False
        self.expired = 0  # records that are gone from the beginning of each partition
        self.kept: list[Places] = []
        """All that was ever committed, oldest first."""

    def write(self, value: bytes, partition: int = 0) -> Record:
        """Put a verdict on the topic."""
        records = self.partitions[partition]
        record = Record(topics.VERDICTS, partition, len(records), b"key", value, timestamp=DAY + timedelta(days=1))
        records.append(record)
        return record

    def _ask(self) -> None:
        if self.away:
            raise BrokerUnavailable("the broker is away")

    async def marks(self) -> Places:
        """As the broker answers."""
        self._ask()
        return dict(self.places)

    async def spans(self, selection: Selection) -> dict[int, tuple[int, int]]:
        """All of it."""
        self._ask()
        return {number: (0, len(records)) for number, records in enumerate(self.partitions)}

    async def beginnings(self) -> dict[int, int]:
        """Where retention has come to."""
        return {number: min(self.expired, len(records)) for number, records in enumerate(self.partitions)}

    async def read(self, spans, *, patience_s: float) -> AsyncGenerator[tuple[int, list[Record]], None]:
        """Three records at a time."""
        for number, (begin, end) in spans.items():
            for start in range(begin, end, 3):
                await asyncio.sleep(0)
                self._ask()
                yield number, self.partitions[number][start : min(start + 3, end)]
            yield number, []

    async def commit(self, places: Places) -> None:
        """Keep what was committed last."""
        self._ask()
        self.places = dict(places)
        self.kept.append(self.places)


class Killed(Exception):
    """The end of a process, for whatever it was at."""


class ReplayTopic:
    """What was sent to the replay topic; the broker is away for the first `failures` records, and the process dies instead of sending one more
    than `lives` records.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failures = 0
        self.lives: int | None = None

    async def send(self, topic, *, key, value, headers=()) -> None:
        """Take a record."""
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable("the broker is away")
        if self.lives is not None:
            if not self.lives:
                raise Killed
            self.lives -= 1
        self.records.append(Record(topic, 0, len(self.records), key, value, headers, DAY))

    async def read(self) -> AsyncGenerator[Record, None]:
        """Yield what lies there."""
        for record in list(self.records):
            yield record

    @property
    def verdicts(self) -> list[Verdict]:
        """Return what was published."""
        return [Verdict.from_bytes(record.value or b"") for record in self.records]


class Scene:
    """One store, one past and one replay topic, for any number of runs."""

    def __init__(self) -> None:
        self.store = MemoryStore({BUCKET, OVERLAYS})
        self.past = MemoryPast()
        self.topic = ReplayTopic()
        self.rejudgings: list[Rejudging] = []
        self.runs: list[Run] = []

    def judged(self, number: int, *, partition: int = 0, **changes) -> Verdict:
        """Put an image into the store and its old verdict on the topic."""
        self.store.put(BUCKET, f"a/{number}.png", png(number), content_type="image/png", deadline_s=1)
        old = old_verdict(number, **changes)
        self.past.write(old.to_bytes(), partition)
        return old

    async def begun(
        self,
        selection: Selection | None = None,
        *,
        name: str = "again",
        classifier=None,
        settings: Settings = SETTINGS,
        throttle: Throttle | None = None,
        limit: int | None = None,
        watch_s: float = 0.001,
        beat_s: float = 0.001,
    ) -> Run:
        """Return a run that has begun and recalled what was published."""
        classifier = classifier or FakeClassifier()
        judge = Judge(version=classifier.info.version, sha256=classifier.info.sha256)
        claim = Claim(self.past, name, give_up_s=20, watch_s=watch_s, beat_s=beat_s)
        rejudging = Rejudging(
            settings,
            store=self.store,
            decoder=InlineDecoder(),
            classifier=classifier,
            sender=self.topic,
            name=name,
            judge=judge,
            held=claim.held,
        )
        self.rejudgings.append(rejudging)
        run = Run(
            settings,
            name=name,
            asked=Terms(selection=selection or Selection(), judge=judge, started=DAY),
            past=self.past,
            rejudging=rejudging,
            claim=claim,
            throttle=throttle or Throttle(None),
            limit=limit,
        )
        self.runs.append(run)
        await run.begin()
        await run.recall(self.topic.read())
        return run

    async def close(self) -> None:
        """Let go of all runs."""
        for run in self.runs:
            await run.close()
        for rejudging in self.rejudgings:
            await rejudging.close()
