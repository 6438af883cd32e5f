"""What a broker's answer to the creation of topics means."""

import pytest

from schemas.errors import BrokerUnavailable, ConfigError
from streams.settings import KafkaSettings
from streams.topics import created_names, wanted

NONE, TIMED_OUT, FORBIDDEN, EXISTS, BAD_REPLICATION, SOME_NEW_CODE = 0, 7, 29, 36, 38, 999


def test_only_what_this_request_created_is_named():
    """A topic that somebody else was quicker to create is neither ours nor an error."""
    assert created_names([("a", NONE, None), ("b", EXISTS, "Topic 'b' already exists.")]) == {"a"}


@pytest.mark.parametrize("code", [FORBIDDEN, BAD_REPLICATION, SOME_NEW_CODE])
def test_a_refusal_is_not_a_broker_that_is_away(code):
    """Exit 78: to try again cannot help. All refused topics and the cause are named."""
    with pytest.raises(ConfigError) as caught:
        created_names([("a", code, "the cause"), ("b", NONE, None), ("c", TIMED_OUT, None)])
    assert caught.value.exit_code == 78
    assert caught.value.message == "topics could not be created: a, c"
    assert "the cause" in caught.value.why
    assert "Start the broker" not in caught.value.remedy


def test_a_broker_that_is_late_may_be_asked_again():
    """Exit 69, with the error that the broker gave."""
    with pytest.raises(BrokerUnavailable, match="RequestTimedOutError"):
        created_names([("a", TIMED_OUT, None)])


def test_replicated_topics_need_two_replicas_in_sync():
    """Otherwise a record that the leader alone has counts as accepted, and dies with it."""
    alone, replicated = (wanted(KafkaSettings(replication_factor=n)) for n in (1, 3))
    assert {spec.config.get("min.insync.replicas") for spec in alone} == {None}
    assert {spec.config.get("min.insync.replicas") for spec in replicated} == {"2"}


def test_each_wait_has_its_retry_topic():
    """As many as there are delays, numbered from 1; none where retries are off."""
    retries = [spec.name for spec in wanted(KafkaSettings(retry_delays_s=(1, 2))) if ".retry." in spec.name]
    assert retries == ["deeptrace.images.v1.retry.1", "deeptrace.images.v1.retry.2"]
    assert not [spec for spec in wanted(KafkaSettings(retry_delays_s=())) if ".retry." in spec.name]
