"""Slack by webhook, against a real HTTP server on loopback."""

import logging
import socket

import pytest
from pydantic import SecretStr
from support.fake_slack import Answer, FakeSlack

from schemas.errors import ConfigError
from streams.drift.notices.slack import NotTold, Slack
from streams.settings_sources import known_settings, load

SECRET = "/services/T000/B000/secret"
WEBHOOK = "DEEPTRACE_DRIFT__SLACK_WEBHOOK"


def slack(url: str) -> Slack:
    return Slack(SecretStr(url))


async def test_a_message_arrives_as_it_is():
    """Without previews of what it might be taken to link to."""
    async with FakeSlack() as server:
        await slack(server.url).tell("*Drift* of tenant `acme`")
        assert server.bodies == [{"text": "*Drift* of tenant `acme`", "unfurl_links": False, "unfurl_media": False}]


async def test_a_rate_limit_and_a_server_error_are_waited_out():
    """429 with a second of Retry-After, then 500, then 200: one call, three requests with the same text."""
    async with FakeSlack(Answer(429, {"Retry-After": "1"}), Answer(500)) as server:
        await slack(server.url).tell("one")
        assert server.texts == ["one"] * 3


async def test_a_long_retry_after_is_handed_on():
    """Nothing is asked again before; the caller knows how long."""
    async with FakeSlack(Answer(429, {"Retry-After": "120"})) as server:
        with pytest.raises(NotTold) as caught:
            await slack(server.url).tell("one")
        assert (caught.value.why, caught.value.again, caught.value.retry_after_s) == ("HTTP 429", True, 120.0)
        assert len(server.bodies) == 1


@pytest.mark.parametrize("header", [{}, {"Retry-After": "Wed, 25 Nov 2026 10:00:00 GMT"}, {"Retry-After": "soon"}])
async def test_an_odd_retry_after_is_none(header):
    """A date is allowed by HTTP and breaks Slack's library."""
    async with FakeSlack(Answer(429, header)) as server:
        with pytest.raises(NotTold) as caught:
            await slack(server.url).tell("one")
        assert (caught.value.again, caught.value.retry_after_s) == (True, 0.0)


async def test_a_server_that_fails_for_good_is_given_up_for_now():
    """After two retries; 502 is not retried at once."""
    async with FakeSlack(Answer(500), Answer(500), Answer(500)) as server:
        with pytest.raises(NotTold, match="HTTP 500"):
            await slack(server.url).tell("one")
        assert len(server.bodies) == 3


@pytest.mark.parametrize(("status", "again"), [(400, False), (403, True), (404, True), (410, True), (502, True)])
async def test_what_may_be_sent_again(status, again):
    """Slack does not like the text (400): sending it again cannot help. A revoked webhook is mended by a person: notices wait."""
    async with FakeSlack(Answer(status)) as server:
        with pytest.raises(NotTold) as caught:
            await slack(server.url).tell("one")
        assert caught.value.again is again


async def test_nobody_listens():
    """The error names a class, and holds nothing of the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}{SECRET}"
        with pytest.raises(NotTold) as caught:
            await slack(url).tell("one")
    assert caught.value.again
    assert "secret" not in str(caught.value)


async def test_the_address_is_in_no_log(caplog):
    """Slack's library tells it at `debug`."""
    caplog.set_level(logging.DEBUG)
    async with FakeSlack(Answer(500), Answer(429, {"Retry-After": "1"})) as server:
        await slack(server.url).tell("one")
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/T/B/X",
        "hooks.slack.com",
        "https://",
        "https://user:pw@hooks.slack.com/x",
        "ftp://127.0.0.1/x",
    ],
)
def test_a_webhook_must_be_https_or_on_loopback(url):
    """And the fault does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        load({WEBHOOK: url})
    assert "drift.slack_webhook: Value error, must be" in caught.value.why
    assert "services" not in caught.value.why
    assert "pw" not in caught.value.why


def test_the_webhook_comes_from_a_file_and_is_a_secret(tmp_path):
    """As other secrets do; `config show` masks what is one."""
    path = tmp_path / "webhook"
    path.write_text("https://hooks.slack.com/services/T/B/X\n")
    settings = load({f"{WEBHOOK}_FILE": str(path)}).settings
    assert settings.drift.slack_webhook.get_secret_value() == "https://hooks.slack.com/services/T/B/X"
    assert settings.drift.tells_slack
    assert "services" not in repr(settings)
    [known] = [known for known in known_settings() if known.env_name == WEBHOOK]
    assert known.is_secret


def test_without_a_webhook_nobody_is_told():
    """The default."""
    assert not load({}).settings.drift.tells_slack
