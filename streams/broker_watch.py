"""Notices that the broker no longer accepts a worker that runs: a password was changed, a certificate has expired, a CA was replaced.

aiokafka's clients take that for a broker that is away and try again for ever, 30 times a second, without raising anything.
"""

import asyncio
from typing import Any

from schemas.errors import ConfigError
from streams.broker_errors import looks
from streams.settings import KafkaSettings

EVERY_S = 30.0


async def refused(settings: KafkaSettings, options: dict[str, Any], *, every_s: float = EVERY_S) -> ConfigError:
    """Return why the broker lets us in nowhere, once that was so at two looks, one after the other.

    A broker that is away is not meant, nor one of several that refuses us; without TLS and passwords there is nothing to refuse.

    Args:
        settings: where the brokers are.
        options: what the running clients were made with. New files on the disk are of no use to them before a restart.
        every_s: seconds between two looks; each is one connection.
    """
    before: ConfigError | None = None
    while True:
        await asyncio.sleep(every_s)
        if not (settings.uses_tls or settings.uses_sasl):
            continue
        found = [answer async for answer in looks(settings, options)]
        now = None if None in found else next((error for error in found if isinstance(error, ConfigError)), None)
        if before is not None and now is not None:
            return now
        before = now
