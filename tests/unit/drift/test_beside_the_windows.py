"""What the settings put beside the windows, of what tells people."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from schemas.errors import ConfigError, UsageError
from streams.drift.companions import Surroundings, companions
from streams.drift.metrics import DriftMetrics
from streams.drift.notices.telling import NoticesFromTopic
from streams.drift.reports.writing import ReportWriter
from streams.drift.window_reader import pooled
from streams.settings import DriftSettings, KafkaSettings, Settings, StoreSettings

STORE = StoreSettings(access_key=SecretStr("a"), secret_key=SecretStr("b"))
WEBHOOK = SecretStr("https://hooks.slack.com/services/T/B/X")


def beside(**drift) -> set[type]:
    settings = Settings(store=STORE, drift=DriftSettings(**drift))
    return {type(one) for one in companions(Surroundings(settings, DriftMetrics()))} & {NoticesFromTopic, ReportWriter}


async def test_nobody_is_told_and_nothing_is_rendered_unless_asked_for():
    """Neither costs anything where it is off."""
    assert beside() == set()


async def test_each_has_its_setting():
    """One does not bring the other."""
    assert beside(slack_webhook=WEBHOOK) == {NoticesFromTopic}
    assert beside(reports=True) == {ReportWriter}


async def test_reports_need_a_key_for_the_store():
    """They are asked for, so their lack is no silence."""
    settings = Settings(drift=DriftSettings(reports=True))
    with pytest.raises(ConfigError, match="object store is not configured"):
        companions(Surroundings(settings, DriftMetrics()))


async def test_windows_that_overlap_are_not_pooled():
    """An image of a hopping window would count several times; nothing is read."""

    with pytest.raises(UsageError, match="overlap"):
        await pooled(KafkaSettings(), tenant="*", window="1h/10m", since=datetime(2026, 11, 25, tzinfo=UTC))
