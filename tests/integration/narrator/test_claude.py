"""The SDK against the API's HTTP on loopback: what goes out, and what becomes of every kind of answer."""

import asyncio
import logging
import socket

import anthropic
import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from pydantic import ValidationError
from support import fake_claude
from support.fake_claude import FakeClaude
from support.verdicts import doubtful

from schemas.errors import AnswerUnusable, ApiRefused, ApiUnavailable, ConfigError
from streams.narrator.claude import Claude, Reply
from streams.narrator.facts import facts_of
from streams.narrator.instructions import Answer, question
from streams.settings import NarratorSettings

KEY = "sk-canary-0123456789"


@pytest.fixture
async def claude():
    """Makes clients, and closes them."""
    made = []

    def make(url, **changes):
        made.append(Claude(NarratorSettings(api_key=KEY, base_url=url, **({"timeout_s": 5} | changes))))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def asked(client):
    return question(
        facts_of(doubtful()), model="claude-haiku-5-5", max_tokens=500, thinking=False, schema=client.answer_schema
    )


async def test_a_request_holds_what_was_asked_and_nothing_else(claude):
    """The body is the question, byte for byte as many as were set aside; no tool."""
    async with FakeClaude() as fake:
        client = claude(fake.url)
        reply = await client.ask(asked(client))
    assert fake.requests == [asked(client).arguments]
    assert len(fake.raw[0]) <= asked(client).most_tokens - 500
    assert (reply.input_tokens, reply.output_tokens, reply.fault) == (700, 90, None)
    assert Answer.model_validate_json(reply.text).summary == "The result is inconclusive."


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        (fake_claude.ok(stop_reason="refusal"), "declined"),
        (fake_claude.ok(stop_reason="max_tokens"), "truncated"),
        (fake_claude.ok(stop_reason="tool_use"), "invalid"),
        (fake_claude.ok(stop_reason="what_comes_next"), "invalid"),
        (fake_claude.ok(thinking=True), None),
    ],
    ids=["refusal", "max_tokens", "tool_use", "unheard_of", "thinking_first"],
)
async def test_how_an_answer_ended(claude, behaviour, fault):
    """What it cost is known in any case; a block of thinking before the text is passed over."""
    async with FakeClaude(behaviour) as fake:
        client = claude(fake.url)
        reply = await client.ask(asked(client))
    assert (reply.fault, reply.input_tokens + reply.output_tokens) == (fault, 790)
    assert Answer.model_validate_json(reply.text)


async def test_tokens_that_went_through_the_prompt_cache_are_paid_for_too(claude):
    """The API counts them apart from the others."""
    usage = '{"input_tokens": 100, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 3, "output_tokens": 9}'
    body = f'{{"content": [], "stop_reason": "end_turn", "usage": {usage}}}'
    async with FakeClaude(fake_claude.raw(body.encode())) as fake:
        client = claude(fake.url)
        assert await client.ask(asked(client)) == Reply("", 123, 9)


async def test_a_trace_ends_at_our_door(claude):
    """The SDK would send the ids of our traces along."""
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    async with FakeClaude() as fake:
        client = claude(fake.url)
        with use_span(NonRecordingSpan(context)):
            await client.ask(asked(client))
    assert not {"traceparent", "tracestate", "baggage"} & {name.lower() for name in fake.headers[0]}


@pytest.mark.parametrize(
    "behaviour",
    [
        fake_claude.raw(b"<html>"),
        fake_claude.raw(b"<html>", content_type="text/html"),
        fake_claude.raw(b""),
        fake_claude.raw(b"{}"),
        fake_claude.raw(
            b'{"content": [], "stop_reason": "end_turn", "usage": {"input_tokens": -1, "output_tokens": 0}}'
        ),
        fake_claude.raw(b'\xff\xfe{"content": []}'),
    ],
    ids=["garbage", "html", "empty", "no_fields", "negative_usage", "no_utf8"],
)
async def test_what_is_no_answer_of_the_api_is_unreadable(claude, behaviour):
    """It is not known what it cost."""
    async with FakeClaude(behaviour) as fake:
        client = claude(fake.url)
        with pytest.raises(AnswerUnusable) as caught:
            await client.ask(asked(client))
    assert caught.value.fault == "unreadable"


@pytest.mark.parametrize(
    ("status", "retry_after", "wait_s"),
    [
        (429, "7", 7),
        (429, "86400", 86400),
        (529, None, None),
        (500, None, None),
        (503, "soon", None),
        (429, "-1", None),
    ],
)
async def test_an_api_that_cannot_serve_is_not_asked_again_by_the_sdk(claude, status, retry_after, wait_s):
    """One request, and how long it asks to be left alone; an error status costs nothing."""
    async with FakeClaude(otherwise=fake_claude.error(status, retry_after=retry_after)) as fake:
        client = claude(fake.url)
        with pytest.raises(ApiUnavailable) as caught:
            await client.ask(asked(client))
    assert (len(fake.requests), caught.value.retry_after_s, caught.value.maybe_paid) == (1, wait_s, False)


@pytest.mark.parametrize(
    ("status", "why"), [(400, "HTTP 400 invalid_request_error"), (401, "HTTP 401 authentication_error")]
)
async def test_what_the_api_refuses_is_for_a_person(claude, status, why):
    """It is not tried again."""
    async with FakeClaude(otherwise=fake_claude.error(status)) as fake:
        client = claude(fake.url)
        with pytest.raises(ApiRefused) as caught:
            await client.ask(asked(client))
    assert caught.value.why == why


@pytest.mark.parametrize("behaviour", [fake_claude.hang, fake_claude.trickle])
async def test_an_answer_that_does_not_end_in_time_may_have_been_paid_for(claude, behaviour):
    """Also when a byte comes now and then, which keeps the SDK's own timeout waiting for ever."""
    async with FakeClaude(behaviour) as fake:
        client = claude(fake.url, timeout_s=0.3)
        with pytest.raises(ApiUnavailable) as caught:
            async with asyncio.timeout(30):  # it would hang, not fail
                await client.ask(asked(client))
    assert caught.value.maybe_paid


async def test_what_was_never_sent_costs_nothing(claude):
    """Else an API that is away for a day would spend the budget."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listened on: connections are refused
        client = claude(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ApiUnavailable) as caught:
            await client.ask(asked(client))
    assert (caught.value.why, caught.value.maybe_paid) == ("ConnectError", False)


async def test_a_redirect_is_not_followed(claude):
    """The other server gets neither the facts nor the key."""
    async with FakeClaude() as elsewhere, FakeClaude(fake_claude.redirect(f"{elsewhere.url}/v1/messages")) as fake:
        client = claude(fake.url)
        with pytest.raises(ApiRefused, match="HTTP 307"):
            await client.ask(asked(client))
    assert (len(fake.requests), elsewhere.requests) == (1, [])


async def test_a_proxy_of_the_environment_gets_nothing_of_what_is_for_loopback(claude, monkeypatch):
    """It would read the key: what goes to loopback may go unencrypted."""
    async with FakeClaude() as fake, FakeClaude() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client = claude(fake.url)
        await client.ask(asked(client))
    assert (len(fake.requests), len(proxy.requests)) == (1, 0)


async def test_neither_environment_nor_error_decides_where_the_key_goes(claude, monkeypatch):
    """The SDK's own variables for key and address are not read."""
    async with FakeClaude() as fake, FakeClaude() as elsewhere:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", elsewhere.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
        client = claude(fake.url)
        await client.ask(asked(client))
    assert elsewhere.requests == []
    assert KEY in str(fake.headers[0])
    assert "another" not in str(fake.headers[0])


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_the_key_is_in_no_error_and_no_log(claude, caplog, status):
    """Even when a gateway repeats it, and everything is logged."""
    caplog.set_level(logging.DEBUG)
    async with FakeClaude(otherwise=fake_claude.error(status)) as fake:
        client = claude(fake.url)
        with pytest.raises((ApiRefused, ApiUnavailable)) as caught:
            await client.ask(asked(client))
        fake.model_status = status
        with pytest.raises((ApiRefused, ApiUnavailable, ConfigError)) as checked:
            await client.check()
    assert KEY in str(fake.headers[0])
    for error in (caught.value, checked.value):
        assert KEY not in f"{error!r} {error} {error.why} {error.remedy} {error.__cause__!r}"
        assert error.__suppress_context__
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("status", "error"), [(401, ConfigError), (403, ConfigError), (404, ApiRefused), (529, ApiUnavailable)]
)
async def test_the_check_at_start_tells_a_wrong_key_from_an_api_that_is_away(claude, status, error):
    """Only the key is a reason not to start."""
    async with FakeClaude() as fake:
        fake.model_status = status
        with pytest.raises(error):
            await claude(fake.url).check()


async def test_the_check_passes_and_costs_nothing(claude):
    """It asks for the model, not for an answer."""
    async with FakeClaude() as fake:
        await claude(fake.url).check()
    assert fake.requests == []


async def test_why_the_sdks_own_parse_is_not_used():
    """An answer that does not fit raises pydantic's error with the text in it, and what it cost is lost."""
    async with FakeClaude(fake_claude.text("secret words")) as fake:
        client = anthropic.AsyncAnthropic(api_key=KEY, base_url=fake.url, max_retries=0)
        with pytest.raises(ValidationError, match="secret words"):
            await client.messages.parse(
                model="claude-haiku-5-5",
                max_tokens=500,
                messages=[{"role": "user", "content": "x"}],
                output_format=Answer,
            )
        await client.close()


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schl\u00fcssel"])
def test_a_client_without_a_sound_key_is_not_made(key):
    """And the error does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        Claude(NarratorSettings(api_key=key))
    assert not key or key not in f"{caught.value} {caught.value.remedy}"


def test_a_reply_has_no_place_for_what_was_asked():
    """What is kept of an answer is its text and its price."""
    assert set(Reply.__dataclass_fields__) == {"text", "input_tokens", "output_tokens", "fault"}
