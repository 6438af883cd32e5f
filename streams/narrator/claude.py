"""The Claude API through its SDK: one request, one answer or one of our errors. The SDK is imported when a client is made, and not before.

What is set against its defaults, and why:

* It does not retry. It would wait as long as a `retry-after` says, be it a day, and what its retries cost could not be counted.
* It follows no redirect: the request, and on the same host the key, would go wherever a gateway points.
* `messages.parse` is not used. When the answer does not fit it raises pydantic's error with the text in it, and the tokens are spent uncounted.
* It sends no trace headers, and traces hold no content.
* What goes to this machine in plain text goes through no proxy.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from schemas.errors import AnswerUnusable, ApiRefused, ApiUnavailable, ConfigError, NarrationFailed
from streams.narrator.instructions import Answer, Question
from streams.settings import NarratorSettings

KEY: Final = "DEEPTRACE_NARRATOR__API_KEY"
NOT_ACCEPTED: Final = frozenset({401, 403})
TOO_MUCH: Final = frozenset({408, 409, 425, 429})
SERVER_ERRORS: Final = 500

_TYPE = re.compile(r"[a-z_]{1,64}")
_KEY = re.compile(r"[!-~]{1,512}")
Tokens = Annotated[int, Field(ge=0)]


class _Usage(BaseModel):
    input_tokens: Tokens
    output_tokens: Tokens
    cache_creation_input_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None


class _Block(BaseModel):
    type: str
    text: str | None = None


class _Body(BaseModel):
    content: list[_Block]
    stop_reason: str | None
    usage: _Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and what it cost. `fault` is why its text is not worth reading."""

    text: str
    input_tokens: int
    output_tokens: int
    fault: str | None = None


def require_key(settings: NarratorSettings) -> None:
    """Refuse to go on without a key.

    Raises:
        ConfigError
    """
    remedy = f"Set {KEY}, or {KEY}_FILE to a file that holds it. Verdicts do not need it."
    if not settings.is_on:
        raise ConfigError("the narrator is off", why=f"{KEY} is not set (ANTHROPIC_API_KEY is not read)", remedy=remedy)
    if _KEY.fullmatch(settings.api_key.get_secret_value()) is None:
        raise ConfigError(f"{KEY} is no key", why="it is not one word of printable ASCII", remedy=remedy)


class Claude:
    """One client with its connections."""

    def __init__(self, settings: NarratorSettings) -> None:
        """Make it; connects to nothing.

        Raises:
            ConfigError: there is no key.
        """
        require_key(settings)
        import anthropic
        import httpx2

        self._sdk = anthropic
        self._not_sent = (httpx2.ConnectError, httpx2.ConnectTimeout)
        self._timeout_s = settings.timeout_s
        self._model = settings.model
        self.answer_schema: dict[str, Any] = anthropic.transform_schema(Answer)
        self._client = anthropic.AsyncAnthropic(
            api_key=settings.api_key.get_secret_value(),
            base_url=settings.base_url,
            timeout=settings.timeout_s,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False, mounts={"http://": None}),
            open_telemetry={"propagation": False, "traces": {"content_mode": "metadata_only"}},
        )

    async def check(self) -> None:
        """Ask whether key and model name are accepted; costs no tokens.

        Raises:
            ConfigError: the key is not accepted.
            ApiRefused: the model name is not, or a gateway does not know the question.
            ApiUnavailable: it does not answer now.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.models.with_raw_response.retrieve(self._model)
        except self._sdk.APIStatusError as error:
            if error.status_code in NOT_ACCEPTED:
                raise ConfigError(
                    "the Claude API does not accept our key",
                    why=_why(error),
                    remedy=f"Correct {KEY} (or {KEY}_FILE), or DEEPTRACE_NARRATOR__BASE_URL if it is a gateway's.",
                ) from None
            raise _status_error(error) from None
        except (self._sdk.APIError, TimeoutError) as error:
            raise self._no_answer(error) from None

    async def ask(self, question: Question) -> Reply:
        """Send one request, once.

        Raises:
            ApiUnavailable: it may be tried again.
            ApiRefused: it may not.
            AnswerUnusable: with the fault `unreadable`: what came back is not of the API's form; it is not known what it cost.
        """
        try:
            async with asyncio.timeout(self._timeout_s):  # the SDK's own begins anew with every byte
                answer = await self._client.messages.with_raw_response.create(**question.arguments)
        except self._sdk.APIStatusError as error:
            raise _status_error(error) from None  # its text repeats what the server said
        except (self._sdk.APIError, TimeoutError) as error:
            raise self._no_answer(error) from None
        try:
            body = _Body.model_validate_json(answer.http_response.content)
        except ValidationError:
            raise AnswerUnusable("the answer is not one of the Claude API", fault="unreadable") from None
        return _reply(body)

    def _no_answer(self, error: Exception) -> ApiUnavailable:
        return ApiUnavailable(
            "the Claude API does not answer",
            why=type(error.__cause__ or error).__name__,
            remedy="Check DEEPTRACE_NARRATOR__BASE_URL and the way there.",
            maybe_paid=not isinstance(error.__cause__, self._not_sent),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _reply(body: _Body) -> Reply:
    usage = body.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    text = "".join(
        block.text or "" for block in body.content if block.type == "text"
    )  # a block of thinking may come first
    faults = {"refusal": "declined", "max_tokens": "truncated", "end_turn": None, "stop_sequence": None}
    return Reply(text, usage.input_tokens + cached, usage.output_tokens, faults.get(body.stop_reason or "", "invalid"))


def _status_error(error: Any) -> NarrationFailed:
    status = int(error.status_code)
    if status >= SERVER_ERRORS or status in TOO_MUCH:
        return ApiUnavailable(
            "the Claude API cannot serve us now",
            why=_why(error),
            remedy="Wait; it is asked again by and by.",
            retry_after_s=_retry_after_s(error),
            maybe_paid=False,
        )
    return ApiRefused(
        "the Claude API refuses the request",
        why=_why(error),
        remedy="Check DEEPTRACE_NARRATOR__MODEL; a model that always thinks needs DEEPTRACE_NARRATOR__THINKING=true.",
    )


def _why(error: Any) -> str:
    """Return the status and the API's word for what is wrong; its sentence is left out, since it may repeat what was sent."""
    kind = error.type
    known = isinstance(kind, str) and _TYPE.fullmatch(kind)
    return f"HTTP {error.status_code} {kind}" if known else f"HTTP {error.status_code}"


def _retry_after_s(error: Any) -> float | None:
    raw = error.response.headers.get("retry-after", "")
    try:
        seconds = float(raw)
    except ValueError:  # a date, or nonsense: then the breaker's own pauses do
        return None
    return seconds if 0 < seconds < float("inf") else None
