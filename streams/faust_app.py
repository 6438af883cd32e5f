"""Faust, told everything it must be told. Both workers get their app here, so that no default slips in.

Why each option is what it is stands in DECISIONS.md ("What Faust may be used for").
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.exceptions import ConsumerNotStarted
from faust.streams import _CStreamIterator
from faust.types import TP
from faust.types.auth import CredentialsT

from schemas.errors import ConfigError
from streams.broker_errors import REFUSALS, not_permitted
from streams.broker_watch import refused
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings
from streams.settings_sources import FAUST_PREFIX

MAX_POLL_INTERVAL_S = 3600  # a paused worker (store down) must not be thrown out of its group
COMMIT_INTERVAL_S = 1.0  # what is replayed after a kill is at most this much finished work
HEARTBEAT_S = 3.0


class _App(faust.App):  # type: ignore[misc]
    """Tells when the partitions are about to be taken away: Faust's own signal comes only after everything in flight is acknowledged."""

    def __init__(
        self, *args: Any, on_rebalance: Callable[[], None] | None, kafka: KafkaSettings, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._on_rebalance = on_rebalance
        self.refused = partial(refused, kafka, client_options(kafka))
        self._our_loop = asyncio.get_running_loop()

    def on_rebalance_start(self) -> None:
        """Called in the consumer's thread, before anything else happens."""
        super().on_rebalance_start()
        if self._on_rebalance is not None:
            self._our_loop.call_soon_threadsafe(self._on_rebalance)


def make_app(
    settings: KafkaSettings,
    *,
    group: str,
    data_dir: Path,
    buffer_records: int,
    on_rebalance: Callable[[], None] | None = None,
) -> faust.App:
    """Return a Faust app that commits only what we acknowledge, creates no topic and opens no port.

    Args:
        settings: the broker.
        group: app id, which is also the consumer group.
        data_dir: where Faust may make its folders (it does even with tables in memory).
        buffer_records: how many records wait between the consumer and the agent.
        on_rebalance: called on the event loop when the partitions are about to be taken away.

    Raises:
        ConfigError: Faust's Cython extension is missing; the pure-Python iterator acknowledges records of an old generation.
    """
    if _CStreamIterator is None:
        raise ConfigError(
            "faust-streaming runs without its Cython extension",
            why="the pure-Python stream iterator acknowledges records of an old generation, which loses them",
            remedy="Install a wheel of faust-streaming for this platform, and leave NO_CYTHON unset.",
        )
    read_leniently()
    return _App(
        group,
        on_rebalance=on_rebalance,
        kafka=settings,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        env_prefix=FAUST_PREFIX,  # otherwise about 80 unprefixed names (BROKER_URL, WEB_PORT, ...) beat these arguments
        datadir=str(data_dir),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        stream_buffer_maxsize=buffer_records,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_session_timeout=settings.session_timeout_s,
        broker_request_timeout=settings.request_timeout_s,
        broker_max_poll_interval=MAX_POLL_INTERVAL_S,
        broker_client_id=f"{group}-{settings.instance_id or 'worker'}",
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance_id,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_replication_factor=settings.replication_factor,
        topic_partitions=settings.partitions,
        table_standby_replicas=0,
        producer_acks=-1,
    )


def _credentials(settings: KafkaSettings) -> CredentialsT | None:
    """Return what Faust's own clients introduce themselves with: the same as all others (`streams.kafka_security`)."""
    options = client_options(settings)
    if settings.uses_sasl:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options["ssl_context"],  # without one it is SASL_PLAINTEXT
        )
    return SSLCredentials(options["ssl_context"]) if settings.uses_tls else None


async def first_failure(app: faust.App, failure: "asyncio.Future[BaseException]") -> BaseException:
    """Return what a worker cannot go on after: its own `failure`, a broker that refuses it, or that Faust crashed or stopped by itself."""
    stopped, turned_away = asyncio.ensure_future(app.wait_until_stopped()), asyncio.ensure_future(app.refused())
    try:
        await asyncio.wait({stopped, turned_away, failure}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        turned_away.cancel()
    if failure.done():
        return failure.result()
    if turned_away.done():
        refusal: BaseException = turned_away.result()
        return refusal
    reason = app.crash_reason or RuntimeError("Faust stopped by itself")
    return not_permitted(reason, "read, or commit what it has read") if isinstance(reason, REFUSALS) else reason


def forget(app: faust.App, event: Any) -> None:
    """Make Faust wait no longer for the acknowledgement of an event that is let go: it has no call for that.

    It is not acknowledged, so nothing is committed past it.
    """
    app.consumer._unacked_messages.discard(event.message)  # noqa: SLF001  # faust-streaming 0.15.3, pinned; a test holds it


def committed_offset(app: faust.App, topic: str, partition: int) -> int | None:
    """Return the offset that Faust went on from when it got the partition, or a later one; None where nothing was committed."""
    offset: int | None = app.consumer._committed_offset.get(TP(topic, partition))  # noqa: SLF001  # no call for that either
    return offset


def is_rebalancing(app: faust.App) -> bool:
    """Whether partitions are being handed out just now."""
    return bool(app.rebalancing)


def assigned(app: faust.App, topic: str) -> list[tuple[str, int]]:
    """Return the partitions of `topic` that this worker has, as (topic, partition)."""
    try:
        return [(place.topic, place.partition) for place in app.consumer.assignment() if place.topic == topic]
    except ConsumerNotStarted:
        return []


def why_not_assigned(app: faust.App) -> str | None:
    """Return why this worker gets no records, or None when it has partitions."""
    try:
        return None if app.consumer.assignment() else "no partition assigned"
    except ConsumerNotStarted:
        return "not started"
