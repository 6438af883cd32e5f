"""The way of one reference, with a store in memory, a fake classifier, and decoding in this process."""

import asyncio
import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from model.abstention import Abstention, ConformalRule, DecisionRule, NoveltyRule
from model.classifier import Prediction
from model.embedding import unpacked
from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.errors import BatchFailed, CrashSuspect, DecoderUnavailable, DependencyDownTooLong, StoreUnavailable
from schemas.identity import outcome_id
from schemas.incoming import Record
from schemas.retry import Retry
from schemas.verdict import Stability, Verdict
from storage.memory import MemoryStore
from streams.archive import Archive
from streams.crash_guard import CrashGuard
from streams.crash_journal import CrashJournal
from streams.gate import Gate
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome, Postponed, stored_outcome
from streams.passage import Passage
from streams.pipeline import Delivery, Pipeline
from streams.retries import Retries
from streams.settings import Settings

BUCKET, OVERLAYS = "deeptrace-images", "deeptrace-overlays"
SETTINGS = Settings.model_validate(
    {
        "pipeline": {
            "retry_first_s": 0.001,
            "retry_last_s": 0.002,
            "dependency_wait_s": 0.01,
            "dependency_give_up_s": 1.0,
            "object_wait_s": 0.1,
        },
        "kafka": {"retry_delays_s": []},
    }
)


class InlineDecoder:
    """Decodes here and now: what a decoder process does, without the process."""

    async def decode(self, data, *, seed):
        return preprocess(data, seed=seed)


def png(side=64, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def store():
    return MemoryStore({BUCKET, OVERLAYS})


@pytest.fixture
async def run(store):
    """Return a function from a reference (fields changed) to its outcome."""
    pipelines = []

    async def outcome(classifier=None, *, raw=None, settings=SETTINGS, **changes):
        metrics = WorkerMetrics()
        pipeline = Pipeline(
            settings,
            objects=Objects(store, SETTINGS.store),
            decoder=InlineDecoder(),
            classifier=classifier or FakeClassifier(),
            metrics=metrics,
        )
        pipelines.append(pipeline)
        value = raw if raw is not None else json.dumps(reference(**changes)).encode()
        record = Record("images", 1, 5, b"key", value, timestamp=datetime(2026, 11, 22, tzinfo=UTC))
        [(found, _)] = await pipeline.outcomes(Delivery(record))
        return found

    yield outcome
    for pipeline in pipelines:
        await pipeline.close()


def reference(**changes):
    place = {"bucket": BUCKET, "key": "a", **changes.pop("object", {})}
    return {"event_id": "e", "image_id": "i", "tenant": "acme", "object": place, **changes}


def put(store, data, key="a"):
    return store.put(BUCKET, key, data, content_type="image/png", deadline_s=1)


async def test_an_image_gets_a_verdict_that_says_what_it_rests_on(run, store):
    """Probabilities, the judged bytes, the model and the record it came from."""
    data = png()
    put(store, data)
    outcome = await run(external_id="x-1", labels={"feed": "home"})
    verdict = outcome.verdict
    assert (outcome.topic, outcome.key) == ("deeptrace.verdicts.v1", b"acme|i")
    assert verdict.object.sha256 == hashlib.sha256(data).hexdigest()
    assert (verdict.object.format, verdict.object.width, verdict.object.height) == ("PNG", 64, 64)
    assert (verdict.source.topic, verdict.source.partition, verdict.source.offset) == ("images", 1, 5)
    assert (verdict.external_id, verdict.labels, verdict.tenant) == ("x-1", {"feed": "home"}, "acme")
    assert verdict.model.kind == "fake"
    assert sum(verdict.per_class_probs.values()) == pytest.approx(1)
    assert "low_res" in verdict.flags
    assert dict(outcome.headers)["ce_id"].decode() == outcome.outcome_id == verdict.outcome_id


async def test_a_wanted_overlay_is_written_under_a_key_of_ours(run, store):
    """The key derives from the outcome id; nothing of the input names an object of ours."""
    put(store, png())
    verdict = (await run(want={"overlay": "always"})).verdict
    explanation = verdict.explanation
    assert (explanation.status, explanation.bucket) == ("written", OVERLAYS)
    assert explanation.key == f"overlays/{verdict.outcome_id[:2]}/{verdict.outcome_id}.webp"
    overlay = store.get(OVERLAYS, explanation.key, max_bytes=1 << 20, deadline_s=1).data
    assert Image.open(io.BytesIO(overlay)).size == (64, 64)


async def test_an_unwanted_overlay_is_not_written(run, store):
    """`never` costs no request."""
    put(store, png())
    assert (await run(want={"overlay": "never"})).verdict.explanation.status == "skipped"
    assert list(store.list(OVERLAYS)) == []


@pytest.mark.parametrize(
    ("data", "changes", "code", "stage"),
    [
        (None, {}, "object_not_found", "fetch"),
        (b"", {}, "object_empty", "fetch"),
        (b"hello, world", {}, "not_an_image", "decode"),
        (png()[:20], {}, "image_truncated", "decode"),
        (png(), {"object": {"sha256": "0" * 64}}, "object_changed", "fetch"),
        (png(), {"object": {"size_bytes": 3}}, "object_changed", "fetch"),
        (png(), {"object": {"etag": "other"}}, "object_changed", "fetch"),
        (png(), {"object": {"bucket": "secrets"}}, "bucket_forbidden", "parse"),
    ],
)
async def test_what_cannot_be_judged_is_a_dead_letter_with_the_original(run, store, data, changes, code, stage):
    """The original key and value, and headers that say what, where and why."""
    if data is not None:
        put(store, data)
    outcome = await run(**changes)
    headers = {name: value.decode() for name, value in outcome.headers}
    assert outcome.topic == "deeptrace.images.v1.dlq"
    assert (outcome.key, outcome.value) == (b"key", json.dumps(reference(**changes)).encode())
    assert headers["dt-error-code"] == code
    assert headers["__connect.errors.stage"] == stage
    assert headers["__connect.errors.offset"] == "5"
    assert headers["dt-outcome-id"] == outcome.outcome_id


async def test_a_transient_error_is_tried_a_bounded_number_of_times(run):
    """An object that never appears is dead-lettered after the configured attempts."""
    outcome = await run()
    assert dict(outcome.headers)["dt-attempts"] == str(SETTINGS.pipeline.attempts).encode()


async def test_an_object_that_appears_late_is_judged(run, store):
    """Notifications may overtake the upload."""
    pending = asyncio.create_task(run())
    await asyncio.sleep(0)
    put(store, png())
    assert (await pending).verdict is not None


async def test_a_store_that_is_down_is_waited_for(run, store):
    """An outage makes no dead letter, however long it lasts."""
    put(store, png())
    with store.outage():
        pending = asyncio.create_task(run())
        done, _ = await asyncio.wait({pending}, timeout=0.3)
        assert not done
    assert (await pending).verdict is not None


async def test_an_image_the_model_fails_on_is_a_dead_letter(run, store):
    """Alone in its batch after bisecting, it gets `inference_failed`."""
    put(store, png())
    outcome = await run(FakeClassifier(poison=lambda _pixels: True))
    assert dict(outcome.headers)["dt-error-code"] == b"inference_failed"


async def test_a_tiny_image_is_not_assessable_and_carries_no_probability(run, store):
    """Too few pixels: a number would be noise dressed as evidence."""
    put(store, png(side=16))
    verdict = (await run(want={"overlay": "always"})).verdict
    assert (verdict.verdict, verdict.p_ai, verdict.predicted_source) == ("not_assessable", None, None)
    assert (verdict.explanation.status, verdict.reasons) == ("skipped", ("too_small",))


async def test_a_blank_image_is_not_assessable(run, store):
    """One colour carries nobody's traces, whatever the model makes of it."""
    out = io.BytesIO()
    Image.new("RGB", (300, 200), (200, 30, 90)).save(out, "JPEG")
    put(store, out.getvalue())
    verdict = (await run()).verdict
    assert (verdict.verdict, verdict.reasons, verdict.per_class_probs) == ("not_assessable", ("blank",), None)
    assert (verdict.object.width, verdict.object.height, verdict.model.kind) == (300, 200, "fake")


async def test_a_file_that_ends_early_is_an_image_that_cannot_be_assessed(run, store):
    """Viewers show what there is of it, so it gets an answer: of the size that its header declares."""
    data = png()[:-300]
    put(store, data)
    verdict = (await run(want={"overlay": "always"})).verdict
    assert (verdict.verdict, verdict.reasons, verdict.p_ai) == ("not_assessable", ("truncated",), None)
    assert (verdict.object.format, verdict.object.width, verdict.object.height) == ("PNG", 64, 64)
    assert verdict.object.sha256 == hashlib.sha256(data).hexdigest()


class Sure(FakeClassifier):
    """Is asked about an image and then about its views, and says each time what it was told to say."""

    def __init__(self, *p_ai, novelty=0.0, version="1"):
        super().__init__(classes=("flux", "real"), abstention=RULES)
        self.infos = [replace(self.info, sha256=f"{version}{n}" if version == "swapped" else version) for n in range(9)]
        self.told, self.novelty, self.asked = list(p_ai), novelty, []

    def predict(self, batch, *, explain):
        self.asked.append(len(batch))
        if len(batch) > 1:
            raise BatchFailed("one by one")
        info = self.infos[len(self.asked) % 9]
        p_ai = self.told.pop(0)
        if p_ai is None:
            raise ValueError("of this view it wants to know nothing")
        return [Prediction(np.array([p_ai, 1 - p_ai]), info, novelty=self.novelty) for _ in batch]


RULES = Abstention(
    fitted_on="nothing",
    decision=DecisionRule(ai_from=0.8, real_to=0.2, false_positive_rate=0, false_negative_rate=0, reals=1, generated=1),
    novelty=NoveltyRule(method="told", threshold=1.0, false_rejection_rate=0.05, images=1),
    conformal=ConformalRule(coverage=0.9, least_probability=0.3, images=1),
)


def asking(mode):
    return Settings.model_validate(
        {**SETTINGS.model_dump(), "pipeline": {**SETTINGS.pipeline.model_dump(), "stability": mode}}
    )


async def test_the_rules_of_the_checkpoint_decide(run, store):
    """An unknown generator, with its score, the label set and each branch beside it."""
    put(store, png())
    verdict = (await run(Sure(0.9, novelty=1.5))).verdict
    assert (verdict.verdict, verdict.predicted_source, verdict.reasons) == ("ai_generated", "unknown_generator", ())
    assert (verdict.novelty.score, verdict.novelty.threshold, verdict.label_set.labels) == (1.5, 1.0, ("flux",))
    weak = (await run(Sure(0.7))).verdict
    assert (weak.verdict, weak.reasons, weak.label_set.labels) == ("inconclusive", ("weak_evidence",), ("flux", "real"))


async def test_a_novel_image_says_where_it_lies_and_the_model_what_mix_it_was_calibrated_for(run, store):
    """What the drift worker finds new generators by, and corrects shares from; both survive the wire."""
    put(store, png())
    classifier = FakeClassifier(abstention=RULES, unknown=lambda _: 1)
    classifier.info = replace(classifier.info, prior=(0.1, 0.1, 0.1, 0.1, 0.6))
    outcome = await run(classifier)
    read = Verdict.from_bytes(outcome.value)
    assert read.model.prior == (0.1, 0.1, 0.1, 0.1, 0.6)
    assert read.novelty.nearest in classifier.info.classes
    assert len(unpacked(read.novelty.embedding)) == 32
    plain = (await run(FakeClassifier())).verdict
    assert (plain.novelty, plain.model.prior) == (None, None)


async def test_nothing_is_shipped_again_unless_it_is_asked_for(run, store):
    """By default the model is asked once."""
    put(store, png())
    classifier = Sure(0.9)
    assert (await run(classifier)).verdict.stability is None
    assert classifier.asked == [1]


@pytest.mark.parametrize(
    ("mode", "p_ai", "asked"), [("ai", 0.9, 3), ("ai", 0.5, 3), ("ai", 0.1, 1), ("all", 0.1, 3), ("off", 0.9, 1)]
)
async def test_the_setting_says_which_images_are_shipped_again(run, store, mode, p_ai, asked):
    """`ai` spares the photographs, which are most of what is uploaded."""
    put(store, png())
    classifier = Sure(*[p_ai] * 9)
    verdict = (await run(classifier, settings=asking(mode))).verdict
    assert 9 - len(classifier.told) == asked
    assert (verdict.stability is None) == (asked == 1)


async def test_a_verdict_that_turns_when_the_image_is_shipped_again_is_withheld(run, store):
    """The first of the two views leans to real."""
    put(store, png())
    verdict = (await run(Sure(0.9, 0.25, 0.75), settings=asking("ai"))).verdict
    assert (verdict.verdict, verdict.reasons, verdict.predicted_source) == ("inconclusive", ("unstable",), None)
    assert verdict.stability == Stability(views=2, flips=1, p_ai_min=0.25, p_ai_max=0.75)
    assert verdict.confidence == pytest.approx(0.9)


async def test_a_view_that_the_model_fails_on_does_not_cost_the_verdict(run, store):
    """The verdict is that of the image, and says what it goes without."""
    put(store, png())
    verdict = (await run(Sure(0.9, None, 0.75), settings=asking("ai"))).verdict
    assert (verdict.verdict, verdict.stability) == ("ai_generated", None)
    assert (verdict.status, verdict.degraded) == ("degraded", ("stability_failed",))


async def test_views_judged_by_the_next_model_say_nothing(run, store):
    """A model is exchanged between two batches: the verdict is that of the model that judged the image."""
    put(store, png())
    verdict = (await run(Sure(0.9, 0.1, 0.1, version="swapped"), settings=asking("all"))).verdict
    assert (verdict.verdict, verdict.stability, verdict.model.sha256) == ("ai_generated", None, "swapped1")


async def test_a_message_that_does_not_parse_keeps_its_bytes(run):
    """Garbage goes to the dead letters byte by byte."""
    outcome = await run(raw=b"\xff{garbage")
    assert outcome.value == b"\xff{garbage"
    assert dict(outcome.headers)["dt-error-code"] == b"message_not_json"


async def test_an_overlay_that_is_refused_does_not_cost_the_verdict(run, store):
    """A forgotten right on the overlay bucket degrades the verdict; it must not dead-letter every image."""
    put(store, png())
    outcome = await run(want={"overlay": "always"})
    store.denied.add((OVERLAYS, outcome.verdict.explanation.key))
    verdict = (await run(want={"overlay": "always"})).verdict
    assert verdict.explanation.status == "failed"
    assert (verdict.status, verdict.degraded) == ("degraded", ("overlay_failed",))


async def test_probabilities_that_are_no_numbers_are_never_a_verdict(run, store):
    """NaN must not become `real` with full confidence."""

    class Nonsense(FakeClassifier):
        def predict(self, batch, *, explain):
            return [Prediction(np.full(5, np.nan), self.info) for _ in batch]

    put(store, png())
    assert dict((await run(Nonsense())).headers)["dt-error-code"] == b"inference_failed"


async def test_a_store_that_stays_away_too_long_ends_the_worker(run, store):
    """The error is none that is dead-lettered, and carries exit code 75."""
    put(store, png())
    with store.outage(), pytest.raises(DependencyDownTooLong) as caught:
        await run()
    assert caught.value.exit_code == 75


async def test_a_store_that_fails_on_one_object_alone_does_not_hold_up_the_rest():
    """An object that always gives a server error, in a store that serves all others, is dead-lettered in the end."""

    class Rotten(MemoryStore):
        def get(self, bucket, key, **options):
            if key == "rotten":
                raise StoreUnavailable("500 for this object")
            return super().get(bucket, key, **options)

    rotten = Rotten({BUCKET, OVERLAYS})
    put(rotten, png())
    pipeline = Pipeline(
        SETTINGS,
        objects=Objects(rotten, SETTINGS.store),
        decoder=InlineDecoder(),
        classifier=FakeClassifier(),
        metrics=WorkerMetrics(),
    )

    async def outcome(key):
        value = json.dumps(reference(object={"key": key})).encode()
        [(found, _)] = await pipeline.outcomes(Delivery(Record("images", 0, 0, None, value)))
        return found

    pending = asyncio.create_task(outcome("rotten"))
    while not pending.done():
        assert (await outcome("a")).verdict is not None
        await asyncio.sleep(0.02)
    assert dict((await pending).headers)["dt-error-code"] == b"object_refused"
    await pipeline.close()


RETRYING = SETTINGS.model_copy(update={"kafka": SETTINGS.kafka.model_copy(update={"retry_delays_s": (10.0, 60.0)})})
OUTCOMES = "deeptrace-outcomes"
HEADERS = (
    ("ce_id", b"1"),
    ("ce_source", b"/s"),
    ("ce_type", b"deeptrace.image.v1"),
    ("ce_specversion", b"1.0"),
    ("mine", None),
)
PRODUCED = Record("deeptrace.images.v1", 3, 77, b"key", b"", HEADERS)


class Service:
    """A pipeline with an archive and retry topics; `deliver` is what a worker does with one record."""

    def __init__(self, store, *, settings=RETRYING, decoder=None, guard=None):
        self.objects = Objects(store, settings.store)
        self.metrics = WorkerMetrics()
        self.gate = Gate("object store", self.objects.probe, settings.pipeline)
        self.archive = Archive(self.objects, OUTCOMES, retries=Retries(settings.pipeline), gate=self.gate)
        self.pipeline = Pipeline(
            settings,
            objects=self.objects,
            decoder=decoder or InlineDecoder(),
            classifier=FakeClassifier(),
            metrics=self.metrics,
            archive=self.archive,
            gate=self.gate,
            guard=guard,
        )

    async def deliver(self, record, *, step=0, again=False):
        retry = Retry.read(record) if step else None
        delivery = Delivery(retry.original if retry else record, retry, step, again)
        return [found for found, _ in await self.pipeline.outcomes(delivery)]


def produced(headers=PRODUCED.headers, **changes):
    value = json.dumps(reference(**changes)).encode()
    return Record(PRODUCED.topic, PRODUCED.partition, PRODUCED.offset, PRODUCED.key, value, headers, EARLIER)


def on_retry_topic(aside: Postponed, offset=0) -> Record:
    return Record(aside.topic, 0, offset, aside.key, aside.value, aside.headers, datetime.now(UTC))


EARLIER = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def full_store():
    """Images, overlays and outcomes."""
    return MemoryStore({BUCKET, OVERLAYS, OUTCOMES})


async def test_an_object_that_is_not_there_yet_is_put_aside_then_judged_as_if_it_came_from_its_topic(full_store):
    """The record goes to the first retry topic as it is; the verdict names the place where it was first read."""
    service = Service(full_store)
    [aside] = await service.deliver(produced())
    assert (aside.topic, aside.code) == ("deeptrace.images.v1.retry.1", "object_not_found")
    assert (aside.key, aside.value) == (b"key", produced().value)
    put(full_store, png())
    [outcome] = await service.deliver(on_retry_topic(aside), step=1)
    source = outcome.verdict.source
    assert (source.topic, source.partition, source.offset) == ("deeptrace.images.v1", 3, 77)
    assert outcome.outcome_id == aside.outcome_id
    await service.pipeline.close()


async def test_an_object_that_never_comes_goes_through_all_topics_then_is_a_dead_letter(full_store):
    """With all its tries added up, its own headers and place, and none of ours that served the waiting."""
    service, record, seen = Service(full_store), produced(), []
    for step in (0, 1):
        [aside] = await service.deliver(record, step=step)
        retry = Retry.read(record := on_retry_topic(aside))
        seen.append((aside.topic, retry.attempts))
        assert (retry.original.headers, retry.original.timestamp) == (PRODUCED.headers, EARLIER)
    [letter] = await service.deliver(record, step=2)
    assert seen == [("deeptrace.images.v1.retry.1", 4), ("deeptrace.images.v1.retry.2", 8)]
    headers = dict(letter.headers)
    assert (letter.code, headers["dt-attempts"]) == ("object_not_found", b"12")
    assert headers["__connect.errors.topic"] == b"deeptrace.images.v1"
    assert headers["__connect.errors.offset"] == b"77"
    assert letter.headers[: len(HEADERS)] == HEADERS
    assert not {name for name in headers if name.startswith("dt-origin") or name in {"dt-not-before", "dt-retry-code"}}
    await service.pipeline.close()


async def test_how_long_it_waits_grows_and_when_it_was_first_seen_stays(full_store):
    """10 s, then a minute, as configured."""
    service = Service(full_store)
    [first] = await service.deliver(produced())
    [second] = await service.deliver(on_retry_topic(first), step=1)
    one, two = Retry.read(on_retry_topic(first)), Retry.read(on_retry_topic(second))
    now = datetime.now(UTC)
    assert 5 < (one.not_before - now).total_seconds() <= 10.001
    assert 55 < (two.not_before - now).total_seconds() <= 60.001
    assert one.first_seen == two.first_seen
    await service.pipeline.close()


async def test_without_retry_topics_it_is_a_dead_letter_at_once(full_store):
    """`retry_delays_s = []` turns them off."""
    service = Service(full_store, settings=SETTINGS)
    [letter] = await service.deliver(produced())
    assert letter.code == "object_not_found"
    await service.pipeline.close()


async def test_a_store_that_refuses_one_object_is_tried_later_not_dead_lettered_at_once(full_store):
    """Rights are often granted after the fact."""
    put(full_store, png())
    full_store.denied.add((BUCKET, "a"))
    service = Service(full_store)
    [aside] = await service.deliver(produced())
    assert isinstance(aside, Postponed)
    full_store.denied.clear()
    [outcome] = await service.deliver(on_retry_topic(aside), step=1)
    assert outcome.verdict is not None
    await service.pipeline.close()


@pytest.mark.parametrize("headers", [PRODUCED.headers, ()])
async def test_a_reference_that_is_no_longer_acceptable_when_its_wait_is_over_has_an_outcome(full_store, headers):
    """The allow-list changed while it waited: a dead letter under the id it always had; it must not vanish."""
    [aside] = await Service(full_store).deliver(produced(headers))
    moved = Settings.model_validate({**RETRYING.model_dump(), "store": {"image_buckets": ["elsewhere"]}})
    service = Service(full_store, settings=moved)
    [letter] = await service.deliver(on_retry_topic(aside), step=1)
    assert (letter.outcome_id, letter.code) == (aside.outcome_id, "bucket_forbidden")
    await service.pipeline.close()


async def test_a_reference_with_huge_headers_keeps_its_identity_while_it_waits(full_store):
    """What does not fit on the retry topic as it is may not come back as another reference, or as none."""
    headers = (*PRODUCED.headers, ("baggage", b"x" * 300_000))
    service = Service(full_store)
    [found] = await service.deliver(produced(headers))
    if isinstance(found, Postponed):
        put(full_store, png())
        [found] = await service.deliver(on_retry_topic(found), step=1)
    assert found.outcome_id == outcome_id("ce", "/s", "1")
    await service.pipeline.close()


async def test_of_a_notification_only_what_failed_waits(full_store):
    """The other references of the record have their outcome; it comes back for the one alone."""
    put(full_store, png(), key="there")
    records = [
        {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}}
        for key in ("there", "late")
    ]
    note = Record("deeptrace.images.v1", 0, 9, None, json.dumps({"Records": records}).encode(), (), EARLIER)
    service = Service(full_store)
    verdict, aside = await service.deliver(note)
    assert verdict.verdict.image_id == f"{BUCKET}/there"
    put(full_store, png(), key="late")
    [late] = await service.deliver(on_retry_topic(aside), step=1)
    assert late.verdict.image_id == f"{BUCKET}/late"
    await service.pipeline.close()


async def test_a_stranger_on_a_retry_topic_is_judged_like_any_other(full_store):
    """A record without our headers there: somebody else wrote it; it may not be lost, nor end the worker."""
    put(full_store, png())
    service = Service(full_store)
    record = Record("deeptrace.images.v1.retry.1", 0, 0, None, json.dumps(reference()).encode())
    [outcome] = await service.deliver(record, step=1)
    assert outcome.verdict is not None
    await service.pipeline.close()


async def test_a_repeat_is_answered_from_the_archive_without_being_judged(full_store):
    """What was settled is published again, word for word, though the image is gone by now."""
    put(full_store, png())
    service = Service(full_store)
    [first] = await service.deliver(produced())
    settled, _ = await service.archive.settle(first, Passage.of(PRODUCED))
    full_store.delete(BUCKET, "a")
    [again] = await service.deliver(produced(), again=True)
    assert (again.topic, again.key, again.value, again.headers) == (
        settled.topic,
        settled.key,
        settled.value,
        settled.headers,
    )
    [unasked] = await service.deliver(produced(), again=False)
    assert isinstance(unasked, Postponed)
    await service.pipeline.close()


async def test_a_verdict_comes_back_from_the_archive_as_it_was(full_store):
    """Its bytes and what is counted of it."""
    put(full_store, png())
    service = Service(full_store)
    [verdict] = await service.deliver(produced())
    back = stored_outcome(verdict.settled().to_bytes(), verdict.outcome_id)
    assert isinstance(back, Outcome)
    assert (back.topic, back.key, back.value, back.headers, back.code) == (
        verdict.topic,
        verdict.key,
        verdict.value,
        verdict.headers,
        None,
    )
    assert back.verdict.to_bytes() == verdict.value
    await service.pipeline.close()


async def test_what_the_worker_died_of_three_times_is_a_dead_letter(full_store, tmp_path):
    """It is not looked at again, and says how often."""
    put(full_store, png())
    identity = outcome_id("ce", "/s", "1")
    (tmp_path / "slot.journal").write_text(f"=3 {identity}\n")
    journal = CrashJournal(tmp_path, "slot")
    service = Service(full_store, guard=CrashGuard(journal))
    [letter] = await service.deliver(produced())
    assert letter.code == CrashSuspect.code
    assert b"3 times" in dict(letter.headers)["__connect.errors.exception.message"]
    await service.pipeline.close()
    journal.close(orderly=True)


async def test_a_decoder_that_cannot_be_started_does_not_close_the_store(full_store):
    """What is decoded already goes on being settled; the reference waits for a decoder."""

    class NoDecoder(InlineDecoder):
        def __init__(self):
            self.tries = 0

        async def decode(self, data, *, seed):
            self.tries += 1
            if self.tries < 4:
                raise DecoderUnavailable("no process")
            return await super().decode(data, seed=seed)

    put(full_store, png())
    decoder = NoDecoder()
    service = Service(full_store, decoder=decoder)
    closed = False
    pending = asyncio.create_task(service.deliver(produced()))
    while not pending.done():
        closed = closed or not service.gate.is_open
        await asyncio.sleep(0)
    [outcome] = pending.result()
    assert outcome.verdict is not None
    assert decoder.tries == 4
    assert not closed
    await service.pipeline.close()


async def test_a_forged_id_on_a_retry_topic_names_no_object_of_ours(full_store):
    """Whoever writes there chooses the header; only an outcome id is taken for one."""
    put(full_store, png())
    [aside] = await Service(full_store).deliver(produced(object={"key": "b"}))
    forged = tuple((name, b"../../x" if name == "dt-outcome-id" else value) for name, value in aside.headers)
    record = Record(aside.topic, 0, 0, aside.key, produced().value, forged)
    service = Service(full_store)
    [outcome] = await service.deliver(record, step=1)
    assert len(outcome.outcome_id) == 40
    await service.pipeline.close()
