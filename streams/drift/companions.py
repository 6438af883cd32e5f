"""What runs beside the windows in a drift worker: labels, notifications, the page. None of it may stop the windows.

Each companion works from topics and the object store, never from the windows' table: a worker has only its own partitions there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from streams.connecting import connect_drift
from streams.drift.metrics import DriftMetrics
from streams.drift.notices.pace import Pace
from streams.labels.companion import Labels
from streams.ops.companion import OpsPage
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


def companions(around: Surroundings) -> Sequence[Companion]:
    """Return the companions that the settings ask for."""
    labels = Labels(around.settings, around.metrics.registry)
    return (labels, *_reports(around), *_notices(around), *_page(around, labels))


def _page(around: Surroundings, labels: Labels) -> Sequence[Companion]:
    return (OpsPage(around.settings, labels.book),) if around.settings.ops.enabled else ()


def _reports(around: Surroundings) -> Sequence[Companion]:
    if not around.settings.drift.reports:
        return ()
    from streams.drift.reports.writing import ReportWriter

    return (ReportWriter(around.settings, around.metrics, connect_drift(around.settings.store)),)


def _notices(around: Surroundings) -> Sequence[Companion]:
    drift = around.settings.drift
    if not drift.tells_slack:
        return ()
    from streams.drift.notices.slack import Slack  # its library costs nothing where nobody is told
    from streams.drift.notices.telling import Notices, NoticesFromTopic

    notices = Notices(Slack(drift.slack_webhook), around.metrics, pace=Pace(drift.slack_per_minute))
    return (NoticesFromTopic(around.settings.kafka, notices),)
