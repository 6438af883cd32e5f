"""What a broker's answer to the creation of topics means."""

import pytest

from schemas.errors import BrokerUnavailable, ConfigError
from streams.topics import created_names

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
