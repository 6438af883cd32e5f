"""What the page knows, folded from records."""

import random
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from support import ops_sample as sample
from support.verdicts import verdict

from schemas import topics
from schemas.incoming import Record
from schemas.verdict import Explanation, JudgedObject
from schemas.window import OVERALL, GeneratorCandidate, StoredObject
from streams.ops.feed import MOST_MODELS, Behind, Feed
from streams.ops.tokens import Place

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


def a_feed(*, latest: int = 10, hours: int = 24) -> Feed:
    """Return an empty feed at noon."""
    return Feed(history_ms=hours * HOUR_MS, latest_verdicts=latest, clock=NOW.timestamp)


def offered(place: Place) -> str | None:
    """Return a token that says what it is for."""
    return f"{place.kind}:{place.bucket}/{place.key}"


def windows_of(feed: Feed, tenant: str, spec: str) -> list[dict[str, object]]:
    """Return the windows as the page gets them."""
    return [orjson.loads(one.json) for one in feed.windows.of((tenant, spec))]


def test_a_window_is_shown_with_its_correction() -> None:
    """Raw and corrected share of AI, its interval, the distance and the reference of a summary are there."""
    feed = a_feed()
    one = sample.window(NOW - timedelta(minutes=10), ai=0.02)
    feed.take(sample.record(topics.WINDOWS, one.to_bytes(), NOW))
    (shown,) = windows_of(feed, OVERALL, "10m")
    assert shown["raw_ai"] == round(1 - one.raw_shares["real"], 6)
    assert shown["correction"]["ai"] == [one.correction.ai.value, one.correction.ai.low, one.correction.ai.high]
    assert shown["distance"]["state"] == "steady"
    assert shown["reference_ai"] == 0.02


def test_a_void_correction_says_so_and_has_no_share() -> None:
    """The status and the reason are there, and no figure that somebody might take for the truth."""
    feed = a_feed()
    feed.take(sample.record(topics.WINDOWS, sample.window(NOW - timedelta(minutes=10), void=True).to_bytes(), NOW))
    (shown,) = windows_of(feed, OVERALL, "10m")
    assert shown["correction"]["status"] == "void"
    assert shown["correction"]["reason"] == "answers_no_mix_explains"
    assert shown["correction"]["ai"] is None
    assert shown["correction"]["shares"] is None


def test_a_summary_of_an_earlier_release_is_shown() -> None:
    """Without a kind, a correction and intervals: named by its length, with raw shares and the bare divergence."""
    feed = a_feed()
    old = sample.window(
        NOW - timedelta(minutes=5), minutes=5, window=None, correction=None, divergences=None, raw_shares=None
    )
    feed.take(sample.record(topics.WINDOWS, old.to_bytes(), NOW))
    (shown,) = windows_of(feed, OVERALL, "5m")
    assert shown["distance"] == {"kl": [round(old.kl_current_reference_nats, 6), None, None], "basis": "raw"}
    assert shown["raw"]["real"] == round(old.counts["real"] / sum(old.counts.values()), 6)
    assert "correction" not in shown


def test_the_order_of_records_does_not_matter() -> None:
    """Windows, alerts and candidates of a day, shuffled and some of them twice, are shown as in their order."""
    records = [one for one in sample.a_day(NOW, hours=6, verdicts_a_minute=0) if one.topic != topics.DEAD_LETTERS]
    straight, shuffled = a_feed(), a_feed()
    for one in records:
        straight.take(one)
    again = records + records[::3]
    random.Random(3).shuffle(again)
    for one in again:
        shuffled.take(one)
    for series in ((OVERALL, "10m"), (OVERALL, "1h"), ("acme", "10m")):
        assert windows_of(shuffled, *series) == windows_of(straight, *series)
    assert sorted(one.json for one in shuffled.alerts) == sorted(one.json for one in straight.alerts)
    assert shuffled.candidates.keys() == straight.candidates.keys()


def test_nothing_is_news_twice() -> None:
    """The same window again leaves the revision where it is."""
    feed = a_feed()
    record = sample.record(topics.WINDOWS, sample.window(NOW - timedelta(minutes=10)).to_bytes(), NOW)
    feed.take(record)
    before = feed.revision
    feed.take(record)
    assert feed.revision == before


@pytest.mark.parametrize("topic", [topics.WINDOWS, topics.DRIFT_ALERTS, topics.VERDICTS])
@pytest.mark.parametrize(
    "value", [None, b"", b"no json", b"[]", b"{}", b'{"schema": 1}', b'{"timing": 3, "model": null}', b"\xff"]
)
def test_what_cannot_be_read_is_counted(topic: str, value: bytes | None) -> None:
    """Whatever lies on a topic, it costs a number and nothing else."""
    feed = a_feed()
    feed.take(Record(topic, 0, 0, None, value, (), NOW))
    assert feed.unreadable == {topic: 1}
    assert feed.rates.letters_by_code(0, feed.now_ms) == []


def test_the_latest_verdicts_are_those_that_were_written_last() -> None:
    """Partitions are read one after the other: of six verdicts the three youngest are listed, youngest first."""
    feed = a_feed(latest=3)
    for number in (4, 1, 5, 2, 6, 3):
        feed.take(sample.record(topics.VERDICTS, verdict(number).to_bytes(), NOW - timedelta(minutes=10 - number)))
    assert [one["image"] for one in feed.latest.shown(after=0, offer=offered)] == ["image-6", "image-5", "image-4"]


def test_only_verdicts_after_a_revision_are_sent_again() -> None:
    """A reader that knows the first gets the second alone."""
    feed = a_feed()
    feed.take(sample.record(topics.VERDICTS, verdict(1).to_bytes(), NOW))
    known = feed.revision
    feed.take(sample.record(topics.VERDICTS, verdict(2).to_bytes(), NOW))
    assert [one["image"] for one in feed.latest.shown(after=known, offer=offered)] == ["image-2"]


def test_a_verdict_offers_the_judged_version_of_its_image_and_its_overlay() -> None:
    """Image and overlay are asked for where the verdict says they lie; without an overlay there is no token for one."""
    feed = a_feed()
    places: list[Place] = []
    judged = JudgedObject(
        bucket="images",
        key="a/1.png",
        version_id="v7",
        etag="e",
        sha256="0" * 64,
        size_bytes=1,
        format="PNG",
        width=1,
        height=1,
    )
    written = Explanation(status="written", bucket="overlays", key="overlays/1.webp")
    for number, seen in ((1, written), (2, Explanation(status="skipped"))):
        feed.take(sample.record(topics.VERDICTS, verdict(number, object=judged, explanation=seen).to_bytes(), NOW))
    second, first = feed.latest.shown(after=0, offer=lambda place: places.append(place) or "token")
    assert (first["overlay"], second["overlay"]) == ("token", None)
    image = Place("image", "images", "a/1.png", "v7", "e")
    assert places == [image, Place("overlay", "overlays", "overlays/1.webp"), image] or places == [
        image,
        image,
        Place("overlay", "overlays", "overlays/1.webp"),
    ]


def test_texts_of_strangers_are_cut() -> None:
    """An image id of a thousand letters is shown with a sign that it goes on."""
    feed = a_feed()
    feed.take(sample.record(topics.VERDICTS, verdict(1, image_id="x" * 1000).to_bytes(), NOW))
    (shown,) = feed.latest.shown(after=0, offer=offered)
    assert shown["image"] == "x" * 159 + "…"


def test_models_are_bounded() -> None:
    """Versions by the hundred leave the latest few, with their counts."""
    feed = a_feed()
    for number in range(200):
        stamp = verdict(1).model.model_copy(update={"version": f"m-{number}"})
        feed.take(
            sample.record(
                topics.VERDICTS, verdict(number, model=stamp).to_bytes(), NOW - timedelta(seconds=200 - number)
            )
        )
    assert len(feed.models) == MOST_MODELS
    assert feed.models["m-199"].verdicts == 1
    assert "m-0" not in feed.models


def test_dead_letters_are_counted_by_the_code_in_their_headers() -> None:
    """The body, which is a stranger's, is not read."""
    feed = a_feed()
    feed.take(sample.letter("image_truncated", NOW - timedelta(minutes=1)))
    (listed,) = feed.rates.letters_by_code(0, feed.now_ms)
    assert (listed["code"], listed["count"]) == ("image_truncated", 1)


def test_a_candidate_offers_its_exemplars() -> None:
    """A candidate on the alerts topic is no alert; its exemplars are shown where the bucket allows."""
    feed = a_feed()
    candidate = GeneratorCandidate(
        candidate_id="c",
        window_id="w",
        tenant="acme",
        start=NOW - timedelta(hours=1),
        end=NOW,
        window="1h",
        images=12,
        rejected=20,
        cohesion=0.9,
        exemplars=(StoredObject(bucket="images", key="a.png"), StoredObject(bucket="elsewhere", key="b.png")),
        model_version="m",
    )
    feed.take(sample.record(topics.DRIFT_ALERTS, candidate.to_bytes(), NOW))
    (shown,) = feed.shown_candidates(after=0, offer=lambda place: "t" if place.bucket == "images" else None)
    assert (shown["images"], shown["pictures"]) == (12, ["t"])
    assert list(feed.alerts) == []


def test_numbers_that_no_answer_can_hold_cost_their_record_only() -> None:
    """JSON knows numbers of any length and answers only those of 64 bits: the page goes on without such a candidate or verdict."""
    feed = a_feed()
    candidate = GeneratorCandidate(
        candidate_id="c", window_id="w", tenant="acme", start=NOW, end=NOW, window="1h", images=10**30, rejected=1,
        cohesion=0.9, model_version="m",
    )  # fmt: skip
    feed.take(sample.record(topics.DRIFT_ALERTS, candidate.model_dump_json(by_alias=True).encode(), NOW))
    assert (feed.candidates, feed.unreadable[topics.DRIFT_ALERTS]) == ({}, 1)
    wide = verdict(1).to_bytes().replace(b'"width":640', b'"width":' + b"9" * 30)
    feed.take(sample.record(topics.VERDICTS, wide, NOW))
    feed.take(sample.record(topics.VERDICTS, verdict(2).to_bytes(), NOW))
    assert [one["image"] for one in feed.latest.shown(after=0, offer=offered)] == ["image-2"]


def test_the_broker_that_is_away_is_said_with_the_last_news() -> None:
    """A fault keeps the time of the last answer and the time at which it began; an answer takes both away."""
    feed = a_feed()
    feed.heard()
    feed.heard(fault="no Kafka broker")
    feed.heard(fault="no Kafka broker")
    assert (feed.contact.fault, feed.contact.last_ms, feed.contact.since_ms) == (
        "no Kafka broker",
        feed.now_ms,
        feed.now_ms,
    )
    before = feed.revision
    feed.heard()
    assert feed.contact.fault is None
    assert feed.revision > before


def test_lag_is_kept_over_time() -> None:
    """What a group was behind is a point of the rates; a group that may not be asked about has its reason."""
    feed = a_feed()
    feed.lags((Behind("scoring", 12, 3.0), Behind("drift", why="this worker may not ask about it")))
    (point,) = feed.rates.points(0, feed.now_ms + 1, 60_000)
    assert point["lag"] == {"scoring": 12}
    assert feed.behind[1].why == "this worker may not ask about it"


def test_what_is_older_than_the_history_goes() -> None:
    """A day later nothing of today is left."""
    moment = [NOW]
    feed = Feed(history_ms=HOUR_MS, latest_verdicts=5, clock=lambda: moment[0].timestamp())  # noqa: PLW0108  # the moment moves
    for one in sample.a_day(NOW, hours=1, verdicts_a_minute=1):
        feed.take(one)
    assert feed.windows.count > 0
    moment[0] += timedelta(days=1)
    feed.prune()
    assert feed.windows.count == 0
    assert (list(feed.alerts), feed.candidates) == ([], {})
