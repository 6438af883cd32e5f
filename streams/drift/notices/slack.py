"""Posts text to an incoming webhook of Slack, by Slack's own library, which retries what is worth it at once; the rest is for the caller to wait for.

The webhook's address is a secret: whoever has it may post. No log line and no error holds it.
"""

import logging
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.webhook.async_client import AsyncWebhookClient

TIMEOUT_S: Final = 10
RETRIES: Final = 2
LONGEST_RETRY_S: Final = 30
"""A longer Retry-After is waited for outside of Slack's library, which would hold the request for as long."""

OK: Final = 200
BAD_TEXT: Final = 400
RATE_LIMITED: Final = 429
GONE: Final = {401, 403, 404, 410}


class NotTold(Exception):
    """Slack did not take a message. `again` says whether it may take it later, `retry_after_s` what it asks for."""

    def __init__(self, why: str, *, again: bool = True, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
        self.retry_after_s = retry_after_s


class Teller(Protocol):
    """Where notices go."""

    async def tell(self, text: str) -> None:
        """Post a message.

        Raises:
            NotTold
        """


class _ShortWaits(AsyncRateLimitErrorRetryHandler):
    """Waits for what Slack asks for only where that is a whole number, and small."""

    async def _can_retry_async(self, *, response: Any = None, **more: Any) -> bool:
        if not await super()._can_retry_async(response=response, **more):
            return False
        asked_s = _retry_after_s(response.headers)
        return asked_s is not None and asked_s <= LONGEST_RETRY_S


class Slack:
    """A `Teller` by webhook."""

    def __init__(self, webhook: SecretStr) -> None:
        quiet = logging.getLogger("deeptrace.slack")
        quiet.setLevel(logging.WARNING)  # the library tells the whole address at `debug`
        url = webhook.get_secret_value()
        self._client = AsyncWebhookClient(
            url,
            timeout=TIMEOUT_S,
            logger=quiet,
            retry_handlers=[
                _ShortWaits(max_retry_count=RETRIES),
                AsyncServerErrorRetryHandler(max_retry_count=RETRIES),
                AsyncConnectionErrorRetryHandler(max_retry_count=RETRIES),
            ],
        )
        if urlsplit(url).scheme == "http":  # on loopback: no proxy can reach that
            self._client.proxy = None

    async def tell(self, text: str) -> None:
        """Post `text` (mrkdwn, escaped already).

        Raises:
            NotTold
        """
        try:
            answer = await self._client.send(text=text, unfurl_links=False, unfurl_media=False)
        except Exception as error:  # noqa: BLE001  # aiohttp's errors, timeouts, and whatever the library makes of an odd answer
            raise NotTold(type(error).__name__) from None  # their texts may hold the address
        if answer.status_code == OK:
            return
        why = f"HTTP {answer.status_code}"
        if answer.status_code == BAD_TEXT:
            raise NotTold(why, again=False)
        if answer.status_code in GONE:
            why += ": the webhook is revoked, or its channel is gone"
        raise NotTold(why, retry_after_s=_retry_after_s(answer.headers) or 0.0)


def _retry_after_s(headers: Any) -> float | None:
    """Return the whole seconds of a Retry-After; None where there is none, or a date."""
    for name, value in dict(headers).items():
        if name.lower() == "retry-after":
            text = value[0] if isinstance(value, list) else value
            return float(text) if text.isdecimal() else None
    return None
