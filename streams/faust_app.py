"""Faust, told everything it must be told. Both workers get their app here, so that no default slips in.

Why each option is what it is stands in DECISIONS.md ("What Faust may be used for").
"""

import asyncio
from pathlib import Path

import faust
from faust.exceptions import ConsumerNotStarted
from faust.streams import _CStreamIterator

from schemas.errors import ConfigError
from streams.settings import KafkaSettings
from streams.settings_sources import FAUST_PREFIX

MAX_POLL_INTERVAL_S = 3600  # a paused worker (store down) must not be thrown out of its group
COMMIT_INTERVAL_S = 1.0  # what is replayed after a kill is at most this much finished work
HEARTBEAT_S = 3.0


def make_app(settings: KafkaSettings, *, group: str, data_dir: Path, buffer_records: int) -> faust.App:
    """Return a Faust app that commits only what we acknowledge, creates no topic and opens no port.

    Args:
        settings: the broker.
        group: app id, which is also the consumer group.
        data_dir: where Faust may make its folders (it does even with tables in memory).
        buffer_records: how many records wait between the consumer and the agent.

    Raises:
        ConfigError: Faust's Cython extension is missing; the pure-Python iterator acknowledges records of an old generation.
    """
    if _CStreamIterator is None:
        raise ConfigError(
            "faust-streaming runs without its Cython extension",
            why="the pure-Python stream iterator acknowledges records of an old generation, which loses them",
            remedy="Install a wheel of faust-streaming for this platform, and leave NO_CYTHON unset.",
        )
    return faust.App(
        group,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
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


async def first_failure(app: faust.App, failure: "asyncio.Future[BaseException]") -> BaseException:
    """Return what a worker cannot go on after: its own `failure`, or that Faust crashed or stopped by itself."""
    stopped = asyncio.ensure_future(app.wait_until_stopped())
    await asyncio.wait({stopped, failure}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failure.done():
        return failure.result()
    return app.crash_reason or RuntimeError("Faust stopped by itself")


def why_not_assigned(app: faust.App) -> str | None:
    """Return why this worker gets no records, or None when it has partitions."""
    try:
        return None if app.consumer.assignment() else "no partition assigned"
    except ConsumerNotStarted:
        return "not started"
