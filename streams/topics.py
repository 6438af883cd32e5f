"""The topics the service needs: what they should be like, what is there, and how to make it so.

Kafka silently ignores a topic that does not exist, and a broker that creates topics by itself makes them wrong; so nothing here relies
on either: `deeptrace topics apply` creates them, and a worker refuses to start without them.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas import topics
from schemas.errors import BrokerUnavailable, TopicMissing
from streams.settings import KafkaSettings

KIB = 1024
REFERENCE_LIMIT = {
    "max.message.bytes": str(256 * KIB)
}  # a reference has at most 64 KiB; what is larger still gets its dead letter
COMPACTED = {"cleanup.policy": "compact"}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it should be, beside how many partitions it has (None: it is missing)."""

    spec: TopicSpec
    partitions: int | None


def drift_table_changelog(settings: KafkaSettings) -> str:
    """Return the name Faust gives the changelog of the windows table."""
    return f"{settings.drift_group}-windows-changelog"


def wanted(settings: KafkaSettings) -> list[TopicSpec]:
    """Return every topic of the service. Images, verdicts and dead letters have as many partitions, so that keys stay together."""
    n = settings.partitions
    return [
        TopicSpec(topics.IMAGES, n, REFERENCE_LIMIT),
        TopicSpec(topics.VERDICTS, n),
        TopicSpec(topics.DEAD_LETTERS, n, {"max.message.bytes": str(512 * KIB)}),
        TopicSpec(topics.OBSERVATIONS, n),
        TopicSpec(topics.WINDOWS, n),
        TopicSpec(topics.DRIFT_ALERTS, n),
        TopicSpec(drift_table_changelog(settings), n, COMPACTED),
    ]


async def plan(settings: KafkaSettings) -> list[TopicState]:
    """Return each wanted topic beside its present state. Changes nothing."""
    specs = wanted(settings)
    async with _admin(settings) as admin:
        found = {topic["topic"]: topic for topic in await admin.describe_topics([spec.name for spec in specs])}
    return [TopicState(spec, _partitions(found.get(spec.name))) for spec in specs]


async def apply(settings: KafkaSettings) -> list[TopicState]:
    """Create what is missing and return the state before. An existing topic is never changed: that is for its owner."""
    before = await plan(settings)
    missing = [state.spec for state in before if state.partitions is None]
    if missing:
        async with _admin(settings) as admin:
            response = await admin.create_topics(
                [
                    NewTopic(s.name, s.partitions, settings.replication_factor, topic_configs=dict(s.config))
                    for s in missing
                ]
            )
        for name, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:  # somebody else may have been quicker
                raise BrokerUnavailable(f"topic {name} could not be created", why=error.__name__)
    return before


async def require(settings: KafkaSettings, names: Iterable[str]) -> None:
    """Refuse to go on without the topics `names`.

    Raises:
        TopicMissing: naming all that are missing.
    """
    states = {state.spec.name: state for state in await plan(settings)}
    missing = [name for name in names if states[name].partitions is None]
    if missing:
        raise TopicMissing(
            f"missing topics: {', '.join(missing)}",
            why="Kafka ignores a subscription to a topic that does not exist",
            remedy="Run `deeptrace topics apply`.",
        )


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
    )
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise BrokerUnavailable(
            f"the Kafka broker at {settings.bootstrap_servers} cannot be asked about topics",
            why=type(error).__name__,
            remedy="Start the broker (`deeptrace dev up` for a local one) or correct DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS.",
        ) from error
    finally:
        await admin.close()
