from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from schemas.incoming import Record
from schemas.window import OVERALL
from streams.demo.sending import JUDGED
from streams.demo.tally import Tally

Topics = Any  # the fixtures of this folder's conftest.py


def note(tally: Tally, *records: Record) -> Tally:
    for record in records:
        tally.note(record)
    return tally


def test_a_reference_without_an_outcome_is_missing(topic: Topics) -> None:
    """It lies on the images topic, and nothing came of it."""
    sent, image = topic.publish("a.jpg")

    assert note(topic.tally, image).missing == [sent]


def test_a_reference_that_is_not_on_the_topic_is_missing(topic: Topics) -> None:
    """The producer believed that it was sent; the topic says otherwise."""
    sent, _ = topic.publish("a.jpg")

    assert topic.tally.missing == [sent]


def test_a_verdict_settles_a_reference(topic: Topics) -> None:
    """It is matched by the outcome id that follows from the reference."""
    sent, image = topic.publish("a.jpg")

    tally = note(topic.tally, image, topic.verdict(image))

    assert (tally.missing, tally.settled, tally.duplicate_outcomes, tally.strangers) == ([], 1, 0, 0)
    assert tally.verdict_of(sent) is not None
    assert tally.dead_letter_of(sent) is None


def test_a_dead_letter_settles_a_reference(topic: Topics) -> None:
    """It carries the outcome id in a header."""
    sent, image = topic.publish("a.jpg")

    tally = note(topic.tally, image, topic.dead_letter(image))

    assert tally.missing == []
    letter = tally.dead_letter_of(sent)
    assert letter is not None
    assert letter.code == "image_truncated"


def test_a_repeated_verdict_is_a_duplicate(topic: Topics) -> None:
    """Even when its bytes are the same."""
    _, image = topic.publish("a.jpg")
    verdict = topic.verdict(image)

    assert note(topic.tally, image, verdict, verdict).duplicate_outcomes == 1


def test_a_dead_letter_beside_a_verdict_is_a_duplicate(topic: Topics) -> None:
    """A reference has one outcome, never both."""
    _, image = topic.publish("a.jpg")

    assert note(topic.tally, image, topic.verdict(image), topic.dead_letter(image)).duplicate_outcomes == 1


def test_an_outcome_of_nothing_is_a_stranger(topic: Topics) -> None:
    """Nobody asked for it."""
    _, image = topic.publish("a.jpg")

    assert note(topic.tally, topic.verdict(image)).strangers == 1


def test_another_code_than_expected_is_a_surprise(topic: Topics) -> None:
    """What is bad on purpose must be refused for that very reason."""
    sent, image = topic.publish("a.jpg", expected="image_is_svg")

    [surprise] = note(topic.tally, image, topic.dead_letter(image)).surprises

    assert (surprise.sent, surprise.came) == (sent, "image_truncated")


def test_a_dead_letter_for_a_good_image_is_a_surprise(topic: Topics) -> None:
    """A simulated image must be judged."""
    _, image = topic.publish("a.jpg", expected=JUDGED)

    [surprise] = note(topic.tally, image, topic.dead_letter(image)).surprises

    assert surprise.came == "image_truncated"


def test_a_verdict_on_a_bad_image_is_a_surprise(topic: Topics) -> None:
    """It should have been refused."""
    _, image = topic.publish("a.jpg", expected="image_truncated")

    [surprise] = note(topic.tally, image, topic.verdict(image)).surprises

    assert surprise.came == JUDGED


def test_nothing_is_expected_of_a_users_own_image(topic: Topics) -> None:
    """Verdict or dead letter, both are fine."""
    _, one = topic.publish("a.jpg")
    _, other = topic.publish("b.jpg")

    assert note(topic.tally, one, other, topic.dead_letter(one), topic.verdict(other)).surprises == []


def test_windows_account_for_verdicts(topic: Topics) -> None:
    """The images of all windows are added up; a window that is published again counts once."""
    window = topic.window(images=3)

    assert note(topic.tally, window, window, topic.window(images=4)).counted_in_windows == 7


@given(data=st.data())
def test_the_order_of_records_does_not_matter(new_topics: Callable[[], Topics], data: st.DataObject) -> None:
    """The topics are read side by side: an outcome may be seen before its reference."""
    topic = new_topics()
    (_, one), (_, other), (_, third) = topic.publish("a.jpg"), topic.publish("b.jpg"), topic.publish("c.jpg")
    repeated = topic.verdict(one)
    records = [one, other, third, repeated, repeated, topic.dead_letter(other)]

    tally = note(topic.tally, *data.draw(st.permutations(records)))

    assert [sent.parcel.name for sent in tally.missing] == ["c.jpg"]
    assert (tally.duplicate_outcomes, tally.strangers, tally.settled) == (1, 0, 2)


def test_windows_over_all_tenants_count_nothing_twice(topic: Topics) -> None:
    """The demo has one tenant, so over all tenants its windows and alerts are the same; candidates are no alerts."""
    window = topic.window(images=3, kl=0.5)
    for record in (window, topic.alert(window)):
        value = orjson.loads(record.value) | {"tenant": OVERALL, "window_id": "of all", "alert_id": "of all"}
        note(topic.tally, record, replace(record, value=orjson.dumps(value)))
    candidate = {"schema": "deeptrace.generator-candidate/1"}
    note(topic.tally, replace(topic.alert(window), value=orjson.dumps(candidate)))

    assert topic.tally.counted_in_windows == 3
    assert list(topic.tally.alerts) == ["alert-1"]


def test_an_episode_whose_alert_is_still_to_come(topic: Topics) -> None:
    """A window says that it drifts before the alert is there: the demo waits for it."""
    divergence = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = ("kl_current_reference_nats", "kl_reference_current_nats", "js_distance", "psi")
    drifting = {"basis": "raw", "state": "drifting", "episode_id": "e-1", **dict.fromkeys(names, divergence)}
    window = topic.window(images=3, kl=0.5)
    record = replace(window, value=orjson.dumps(orjson.loads(window.value) | {"divergences": drifting}))
    assert note(topic.tally, record).alerts_to_come
    alert = topic.alert(window)
    told = replace(alert, value=orjson.dumps(orjson.loads(alert.value) | {"episode_id": "e-1"}))
    assert not note(topic.tally, told).alerts_to_come
