"""What runs beside the windows in a drift worker: labels, notifications, the page. None of it may stop the windows.

Each companion works from topics and the object store, never from the windows' table: a worker has only its own partitions there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from streams.drift.metrics import DriftMetrics
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a companion may use of its worker."""

    settings: Settings
    metrics: DriftMetrics


class Companion(Protocol):
    """Something with a life of its own. It bears its faults: it waits and tries again, counts and logs, and never raises after `start`."""

    def routes(self, app: web.Application) -> None:
        """Add what it serves to the worker's HTTP server, before that starts."""

    async def start(self) -> None:
        """Begin to work, in tasks of its own; returns at once, whether or not its dependencies are there.

        Raises:
            ConfigError: its settings cannot be used.
        """

    async def stop(self) -> None:
        """End all that it began."""


def companions(around: Surroundings) -> Sequence[Companion]:  # noqa: ARG001  # the first of them is on its way
    """Return the companions that the settings ask for."""
    return ()
