"""The last stretch: admitted, settled, published, counted, in that order and once each."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.verdicts import verdict

from schemas import topics
from schemas.errors import BrokerUnavailable, ImageCorrupt, NotAnImage, NotPermitted, ObjectNotFound
from schemas.incoming import Record
from schemas.settled import object_key
from schemas.verdict import Explanation
from storage.memory import MemoryStore
from streams.archive import Archive
from streams.failpoints import Failpoints
from streams.gate import Gate
from streams.letter_limit import LetterLimit
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import dead_letter_outcome, postponed, verdict_outcome
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import Settings
from streams.settlement import Settlement

BUCKET = "deeptrace-outcomes"
SETTINGS = Settings.model_validate(
    {
        "pipeline": {
            "retry_first_s": 0.001,
            "dependency_wait_s": 0.002,
            "dependency_give_up_s": 5,
            "dead_letters_in_a_row": 2,
            "dead_letter_share": 1,
        },
        "store": {"image_buckets": [BUCKET], "overlay_bucket": BUCKET},
    }
)
RECORD = Record("images", 1, 5, b"key", b"value")


class Topics:
    """What a producer does, in a list; `failing` is raised once each before a record is taken."""

    def __init__(self, *failing):
        self.records = []
        self.failing = list(failing)

    async def send(self, topic, *, key, value, headers=()):
        if self.failing:
            raise self.failing.pop(0)
        self.records.append((topic, key, value, headers))


class Desk:
    """A settlement over a store in memory."""

    def __init__(self, *failing, settled=True):
        self.store = MemoryStore({BUCKET})
        self.topics = Topics(*failing)
        self.metrics = WorkerMetrics()
        self.limit = LetterLimit(SETTINGS.pipeline)
        retries = Retries(SETTINGS.pipeline, lambda code: self.metrics.retries.labels(code).inc())
        objects = Objects(self.store, SETTINGS.store)
        gate = Gate("object store", objects.probe, SETTINGS.pipeline)
        self.settlement = Settlement(
            self.topics,
            archive=Archive(objects, BUCKET, retries=retries, gate=gate) if settled else None,
            limit=self.limit,
            retries=retries,
            metrics=self.metrics,
            failpoints=Failpoints(),
        )

    async def finish(self, found, *, known=False, record=RECORD):
        passage = Passage.of(record)
        passage.known = known
        await self.settlement.finish(found, passage, record)

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"deeptrace_{name}_total", labels)

    @property
    def stored(self):
        return [info.key for info in self.store.list(BUCKET)]


def letter(number=0, error=None):
    return dead_letter_outcome(f"{number:040x}", RECORD, error or ImageCorrupt("bad"), stage="decode", attempts=1)


def record_of(outcome):
    return (outcome.topic, outcome.key, outcome.value, outcome.headers)


async def test_an_outcome_is_settled_published_and_counted():
    """One object, one record, one of each counter."""
    desk = Desk()
    await desk.finish(letter())
    assert desk.stored == [object_key("0" * 40)]
    assert desk.topics.records == [record_of(letter())]
    assert desk.count("settlements", result="first") == 1
    assert desk.count("dead_letters", code="image_corrupt") == 1


async def test_what_was_settled_before_is_what_is_published_and_counted():
    """The other worker's conclusion, not ours."""
    desk = Desk()
    await desk.finish(letter(error=ImageCorrupt("bad")))
    await desk.finish(letter(error=NotAnImage("no")))
    assert desk.topics.records == [record_of(letter())] * 2
    assert desk.count("dead_letters", code="not_an_image") is None
    assert desk.count("settlements", result="stored") == 1


async def test_a_known_outcome_is_published_without_being_settled_again():
    """It was read from the archive a moment ago."""
    desk = Desk()
    await desk.finish(letter(), known=True)
    assert desk.stored == []
    assert desk.topics.records == [record_of(letter())]
    assert desk.count("settlements", result="known") == 1


async def test_at_least_once_makes_no_object():
    """Who drops repeats downstream pays no request for it."""
    desk = Desk(settled=False)
    await desk.finish(letter())
    assert desk.stored == []
    assert desk.topics.records == [record_of(letter())]


async def test_a_postponed_reference_is_published_and_nothing_is_settled():
    """It has no outcome yet."""
    desk = Desk()
    now = datetime.now(UTC)
    aside = postponed("0" * 40, RECORD, ObjectNotFound("gone"), step=2, not_before=now, attempts=4, first_seen=now)
    await desk.finish(aside)
    assert desk.stored == []
    assert [topic for topic, *_ in desk.topics.records] == [topics.retry_topic(2)]
    assert desk.count("postponed", code="object_not_found") == 1
    assert desk.count("outcomes", kind="dead_letter") is None


async def test_a_broker_that_is_away_is_waited_for():
    """The record is sent until it is taken; it is counted once."""
    away = BrokerUnavailable("away")
    desk = Desk(away, away, away)
    await desk.finish(letter())
    assert desk.topics.records == [record_of(letter())]
    assert desk.count("outcomes", kind="dead_letter") == 1
    assert desk.count("retries", code="broker_unavailable") == 3


async def test_a_right_that_was_taken_away_ends_the_worker():
    """Nothing is counted, and the outcome stays settled for whoever comes next."""
    desk = Desk(NotPermitted("no right to write"))
    with pytest.raises(NotPermitted):
        await desk.finish(letter())
    assert desk.stored == [object_key("0" * 40)]
    assert desk.count("outcomes", kind="dead_letter") is None


async def test_a_dead_letter_over_the_limit_is_neither_settled_nor_published():
    """It stays undecided, so that a worker that is mended may still give a verdict; cancelling frees it."""
    desk = Desk()
    await desk.finish(letter(1))
    await desk.finish(letter(2))
    held = asyncio.create_task(desk.finish(letter(3)))
    done, _ = await asyncio.wait({held}, timeout=0.05)
    assert not done
    assert desk.stored == [object_key(f"{n:040x}") for n in (1, 2)]
    assert len(desk.topics.records) == 2
    assert desk.limit.tripped == "partition 1: 2 dead letters in a row"
    held.cancel()
    await asyncio.wait({held})
    assert held.cancelled()


async def test_what_is_known_already_passes_a_limit_that_has_tripped():
    """It is decided: holding it back would only keep it from those who wait for it."""
    desk = Desk()
    await desk.finish(letter(1))
    await desk.finish(letter(2))
    held = asyncio.create_task(desk.finish(letter(3)))
    await asyncio.sleep(0)
    await desk.finish(letter(1), known=True)
    assert len(desk.topics.records) == 3
    held.cancel()
    await asyncio.wait({held})


async def test_a_record_of_many_references_counts_as_one_towards_the_limit():
    """One notification with a hundred bad references is one fault of one producer, not a hundred."""
    desk = Desk()
    letters = [dead_letter_outcome(f"{n:040x}", RECORD, NotAnImage("no"), stage="decode", attempts=1) for n in range(5)]
    for _ in range(2):
        await desk.settlement.finish_all([(letter, Passage.of(RECORD)) for letter in letters], RECORD)
    assert desk.limit.tripped is None
    assert len(desk.topics.records) == 10
    over = asyncio.create_task(desk.settlement.finish_all([(one, Passage.of(RECORD)) for one in letters], RECORD))
    await asyncio.wait({over}, timeout=0.2)
    assert desk.limit.tripped is not None
    assert (over.done(), len(desk.topics.records)) == (False, 10)
    over.cancel()


async def test_why_verdicts_are_withheld_is_counted_under_names_we_know():
    """A reason that a newer release has settled counts as `other`: text from a stored object never becomes a label."""
    desk = Desk()
    withheld = verdict(
        verdict="inconclusive", predicted_source=None, is_ai_generated=None, reasons=("weak_evidence", "novel", "vibes")
    )
    await desk.finish(verdict_outcome(withheld, RECORD))
    assert desk.count("verdicts", verdict="inconclusive", source="none") == 1
    counted = {
        reason: desk.count("withheld_verdicts", reason=reason)
        for reason in ("weak_evidence", "novel", "other", "vibes")
    }
    assert counted == {"weak_evidence": 1, "novel": 1, "other": 1, "vibes": None}


@pytest.mark.parametrize("status", ["written", "skipped", "withheld", "failed"])
async def test_a_verdict_counts_by_what_became_of_its_overlay(status):
    """A share of withheld overlays that grows says that the maps no longer point at what the model rests on."""
    desk = Desk()
    await desk.finish(verdict_outcome(verdict(explanation=Explanation(status=status)), RECORD))
    assert desk.count("explanations", status=status) == 1


def waited(desk, kind, at_most):
    """How many outcomes came within this many seconds, by the histogram."""
    labels = {"kind": kind, "le": at_most}
    return desk.metrics.registry.get_sample_value("deeptrace_end_to_end_seconds_bucket", labels)


async def test_the_wait_counts_from_the_upload_where_the_reference_says_when_that_was():
    """What a person waited for is their upload, not the record that told of it."""
    desk, now = Desk(), datetime.now(UTC)
    uploaded = verdict(source=verdict().source.model_copy(update={"event_time": now - timedelta(seconds=100)}))
    record = replace(RECORD, timestamp=now - timedelta(seconds=2))
    await desk.finish(verdict_outcome(uploaded, record), record=record)
    assert [waited(desk, "verdict", at_most) for at_most in ("60.0", "300.0")] == [0, 1]


async def test_the_wait_counts_from_the_record_where_nothing_says_when_the_upload_was():
    """A dead letter may have nothing that can be read."""
    desk = Desk()
    record = replace(RECORD, timestamp=datetime.now(UTC) - timedelta(seconds=7))
    await desk.finish(letter(), record=record)
    assert [waited(desk, "dead_letter", at_most) for at_most in ("5.0", "10.0")] == [0, 1]


async def test_a_clock_that_is_ahead_makes_no_negative_wait():
    """The sum of a histogram must never fall."""
    desk, record = Desk(), replace(RECORD, timestamp=datetime.now(UTC) + timedelta(hours=1))
    await desk.finish(letter(), record=record)
    assert desk.metrics.registry.get_sample_value("deeptrace_end_to_end_seconds_sum", {"kind": "dead_letter"}) == 0


async def test_what_was_known_already_says_nothing_about_waiting():
    """A worker that goes over old references again would look like an outage."""
    desk = Desk()
    await desk.finish(letter(), known=True)
    assert waited(desk, "dead_letter", "+Inf") is None


async def test_confidence_is_counted_by_verdict():
    """Confidence that moves towards the middle is the first thing a changed upload stream does."""
    desk = Desk()
    await desk.finish(verdict_outcome(verdict(confidence=0.85), RECORD))
    name = "deeptrace_confidence_bucket"
    found = [
        desk.metrics.registry.get_sample_value(name, {"verdict": "ai_generated", "le": le}) for le in ("0.8", "0.9")
    ]
    assert found == [0, 1]
