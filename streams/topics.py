"""The topics the service needs: what they should be like, what is there, and how to make it so.

Kafka silently ignores a topic that does not exist, and a broker that creates topics by itself makes them wrong; so nothing here relies
on either: `deeptrace topics apply` creates them, and a worker refuses to start without them.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)

from schemas import topics
from schemas.errors import BrokerUnavailable, ConfigError, DeepTraceError, NotPermitted
from streams.broker_errors import REFUSALS, START_IT, unreachable
from streams.kafka_security import client_options
from streams.settings import KafkaSettings

KIB = 1024
# A reference has at most 64 KiB; what is larger still gets its dead letter. The limit is on a batch as it lies on the broker: compressed, a batch
# of 256 KiB could unpack to gigabytes in the worker, so the broker unpacks it (and refuses it). 1 MiB is what producers send by default.
REFERENCE_LIMIT = {"max.message.bytes": str(1024 * KIB), "compression.type": "uncompressed"}
COMPACTED = {"cleanup.policy": "compact"}
KEPT_AS_LABELS = {"retention.ms": str(topics.LABELS_KEPT_DAYS * 86_400_000)}
REPLICATED = 3
IN_SYNC = {"min.insync.replicas": "2"}
AWAY = (BrokerNotAvailableError, KafkaTimeoutError, KafkaUnavailableError)  # aiokafka does not call them retriable


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it should be, beside how many partitions it had when asked (None: it was missing)."""

    spec: TopicSpec
    partitions: int | None
    created: bool = False


def drift_table_changelog(settings: KafkaSettings) -> str:
    """Return the name Faust gives the changelog of the windows table."""
    return f"{settings.drift_group}-windows-changelog"


def wanted(settings: KafkaSettings) -> list[TopicSpec]:
    """Return every topic of the service. Images, verdicts and dead letters have as many partitions, so that keys stay together."""
    n = settings.partitions
    specs = [
        TopicSpec(topics.IMAGES, n, REFERENCE_LIMIT),
        TopicSpec(topics.VERDICTS, n),
        TopicSpec(topics.SHADOW_VERDICTS, n),
        TopicSpec(topics.DEAD_LETTERS, n, {"max.message.bytes": str(512 * KIB)}),
        *(
            TopicSpec(name, n, {"max.message.bytes": str(512 * KIB)})
            for name in topics.retry_topics(len(settings.retry_delays_s))
        ),
        TopicSpec(topics.OBSERVATIONS, n),
        TopicSpec(topics.WINDOWS, n),
        TopicSpec(topics.DRIFT_ALERTS, n),
        TopicSpec(topics.EXPLANATIONS, n),
        TopicSpec(topics.LABELS, n, KEPT_AS_LABELS),
        TopicSpec(topics.LABELLED, n, KEPT_AS_LABELS),
        TopicSpec(topics.REPLAYED_VERDICTS, n),
        TopicSpec(drift_table_changelog(settings), n, COMPACTED),
    ]
    if settings.replication_factor < REPLICATED:
        return specs
    # Without it `acks=all` is content with the leader alone, and what it acknowledged dies with it.
    return [replace(spec, config={**spec.config, **IN_SYNC}) for spec in specs]


async def partition_counts(settings: KafkaSettings) -> dict[str, int]:
    """Return how many partitions each topic has that the broker shows us."""
    async with _admin(settings) as admin:
        # All topics, not ours by name: aiokafka lets a broker with auto-creation create what a request names.
        found = {str(topic["topic"]): _partitions(topic) for topic in await admin.describe_topics()}
    return {name: count for name, count in found.items() if count is not None}


async def plan(settings: KafkaSettings) -> list[TopicState]:
    """Return each wanted topic beside its present state. Changes nothing."""
    there = await partition_counts(settings)
    return [TopicState(spec, there.get(spec.name)) for spec in wanted(settings)]


async def apply(settings: KafkaSettings) -> list[TopicState]:
    """Create what is missing; return the state before, and what was created here. An existing topic is never changed: that is for
    its owner.

    Raises:
        BrokerUnavailable: try again later.
        ConfigError: the broker refuses the topics as configured; those it did not refuse are there.
    """
    before = await plan(settings)
    missing = [state.spec for state in before if state.partitions is None]
    if not missing:
        return before
    async with _admin(settings) as admin:
        response = await admin.create_topics(
            [NewTopic(s.name, s.partitions, settings.replication_factor, topic_configs=dict(s.config)) for s in missing]
        )
    created = created_names(response.topic_errors)
    return [replace(state, created=state.spec.name in created) for state in before]


def created_names(answers: Iterable[tuple[str, int, str | None]]) -> set[str]:
    """Return the topics that this request created, from the broker's answer: name, error code and message of each.

    A topic that somebody else was quicker to create is no error, and not among them.

    Raises:
        BrokerUnavailable, ConfigError: naming every topic that could not be created, with the cause.
    """
    errors = {name: (for_code(code), message) for name, code, message in answers}
    failed = {
        name: (error, message)
        for name, (error, message) in errors.items()
        if error.errno and error is not TopicAlreadyExistsError
    }
    if failed:
        why = "; ".join(dict.fromkeys(str(error(*filter(None, [message]))) for error, message in failed.values()))
        what = f"topics could not be created: {', '.join(failed)}"
        if all(_is_away(error) for error, _ in failed.values()):
            raise BrokerUnavailable(what, why=why, remedy="Run `deeptrace topics apply` again.")
        if all(issubclass(error, REFUSALS) for error, _ in failed.values()):
            raise NotPermitted(
                what,
                why=why,
                remedy="Run `deeptrace topics apply` as a user with the right to create topics; a worker needs no such right.",
            )
        raise ConfigError(
            what,
            why=why,
            remedy="Correct DEEPTRACE_KAFKA__REPLICATION_FACTOR or DEEPTRACE_KAFKA__PARTITIONS, or what the broker permits.",
        )
    return {name for name, (error, _) in errors.items() if not error.errno}


def _partitions(found: Mapping[str, object] | None) -> int | None:
    if found is None or found.get("error_code"):
        return None
    listed = found["partitions"]
    assert isinstance(listed, list)
    return len(listed) or None


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-admin",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **client_options(settings),
    )
    try:
        await admin.start()
        yield admin
    except (KafkaConnectionError, NodeNotReadyError) as error:
        raise await unreachable(settings) from error
    except (KafkaError, TimeoutError) as error:
        raise _said(error, settings) from error
    finally:
        await admin.close()


def _is_away(error: type[Exception]) -> bool:
    return issubclass(error, (TimeoutError, *AWAY)) or bool(getattr(error, "retriable", False))


def _said(error: Exception, settings: KafkaSettings) -> DeepTraceError:
    what = f"the Kafka broker at {settings.bootstrap_servers} cannot be asked about topics"
    if _is_away(type(error)):
        return BrokerUnavailable(
            what,
            why=type(error).__name__,
            remedy=START_IT,
        )
    return ConfigError(what, why=str(error), remedy="Correct what the broker names, or what it permits this client.")
