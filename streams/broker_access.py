"""What this process may do on the broker, asked before it begins: a worker without its rights must not start.

The broker itself says which operations it allows on a topic or group (KIP-430); nothing is tried out.
"""

import asyncio
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    for_code,
)

from schemas import topics
from schemas.errors import ConfigError, NotPermitted, TopicMissing
from streams.broker_errors import principal, unreachable
from streams.kafka_requests import AllowedOnGroup, AllowedOnTopics
from streams.kafka_security import client_options
from streams.settings import KafkaSettings
from streams.topics import drift_table_changelog

Operation = Literal["Read", "Write"]
BITS: Final[Mapping[Operation, int]] = {"Read": 1 << 3, "Write": 1 << 4}  # AclOperation codes of the protocol
NOT_TOLD: Final = -(2**31)
LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Needs:
    """What a worker must be allowed to do, and no more than that."""

    role: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    group: str
    group_is_prefix: bool = False
    """Whether every group whose name starts so is meant."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return every topic, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the broker answered. A topic that may not even be seen is `hidden`, whether it exists or not."""

    operations: Mapping[str, int]  # by topic
    missing: frozenset[str]
    hidden: frozenset[str]
    on_group: int

    def lacking(self, needs: Needs) -> list[str]:
        """Return each right that `needs` has and this process has not, as kafka-acls names it."""
        wanted: list[tuple[Operation, str]] = [("Read", name) for name in needs.reads]
        wanted += [("Write", name) for name in needs.writes]
        lacking = [f"{op} on topic {name}" for op, name in wanted if not self.operations.get(name, 0) & BITS[op]]
        return lacking if self.on_group & BITS["Read"] else [*lacking, f"Read on group {needs.group}"]


def scoring_needs(kafka: KafkaSettings, *, shadow: bool = False) -> Needs:
    """Return what a scoring worker needs; one with a `shadow` writes to that topic as well."""
    retries = topics.retry_topics(len(kafka.retry_delays_s))
    trial = (topics.SHADOW_VERDICTS,) if shadow else ()
    return Needs(
        role="scoring worker",
        reads=(topics.IMAGES, *retries),
        writes=(topics.VERDICTS, topics.DEAD_LETTERS, *retries, *trial),
        group=kafka.group,
    )


def drift_needs(kafka: KafkaSettings) -> Needs:
    """Return what a drift worker needs."""
    own = (topics.OBSERVATIONS, drift_table_changelog(kafka))
    return Needs(
        role="drift worker",
        reads=(topics.VERDICTS, *own),
        writes=(*own, topics.WINDOWS, topics.DRIFT_ALERTS),
        group=kafka.drift_group,
    )


def label_needs(kafka: KafkaSettings) -> Needs:
    """Return what a drift worker needs beside that to join labels; without it the windows go on, and labels wait."""
    return Needs(
        role="drift worker that joins labels",
        reads=(topics.LABELS, topics.LABELLED),
        writes=(topics.LABELLED,),
        group=kafka.labels_group,
    )


def notice_needs(kafka: KafkaSettings) -> Needs:
    """Return what a drift worker needs beside that to tell Slack; without it the windows go on, and nobody is told."""
    return Needs(
        role="drift worker that tells Slack",
        reads=(topics.DRIFT_ALERTS,),
        writes=(),
        group=kafka.notices_group,
    )


def report_needs(kafka: KafkaSettings) -> Needs:
    """Return what a drift worker needs beside that to write reports; without it the windows go on, and there are none."""
    return Needs(role="drift worker that writes reports", reads=(topics.WINDOWS,), writes=(), group=kafka.reports_group)


def page_needs(kafka: KafkaSettings) -> Needs:
    """Return what a drift worker needs beside that to fill the ops page; what it may not read, the page says.

    The lag of the scoring group is shown to one who may describe that group and the images topic too.
    """
    return Needs(
        role="drift worker with the ops page",
        reads=(topics.WINDOWS, topics.DRIFT_ALERTS, topics.VERDICTS, topics.DEAD_LETTERS),
        writes=(),
        group=kafka.drift_group,
    )


def narrator_needs(kafka: KafkaSettings) -> Needs:
    """Return what a narrator needs."""
    return Needs(role="narrator", reads=(topics.VERDICTS,), writes=(topics.EXPLANATIONS,), group=kafka.narrator_group)


def replay_needs(kafka: KafkaSettings, name: str = "") -> Needs:
    """Return what `deeptrace replay` needs for the replay `name`, or for any. It reads its own topic to see what an earlier run has published."""
    return Needs(
        role="replay",
        reads=(topics.VERDICTS, topics.REPLAYED_VERDICTS),
        writes=(topics.REPLAYED_VERDICTS,),
        group=kafka.replay_group_of(name),
        group_is_prefix=not name,
    )


def kafka_acls(needs: Needs, principal: str, bootstrap_servers: str) -> list[str]:
    """Return the commands that grant `needs`, as an administrator types them."""
    grant = f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --command-config admin.properties --add"
    grants = [("Read", "topic", needs.reads), ("Write", "topic", needs.writes), ("Read", "group", (needs.group,))]
    return [
        f"{grant} --allow-principal {shlex.quote(principal)} --operation {operation}"
        + "".join(f" --{kind} {shlex.quote(name)}" for name in names)
        + (" --resource-pattern-type prefixed" if kind == "group" and needs.group_is_prefix else "")
        for operation, kind, names in grants
        if names
    ]


async def require_access(settings: KafkaSettings, needs: Needs) -> None:
    """Refuse to go on where a topic is missing or a right is.

    Raises:
        NotPermitted: naming every right that is missing, on which topic or group.
        TopicMissing: naming every topic that is missing.
        BrokerUnavailable, BrokerNotTrusted, NotAuthenticated
    """
    allowed = await ask(settings, needs.topics, needs.group)
    if lacking := allowed.lacking(needs):
        raise NotPermitted(
            f"the broker does not let {principal(settings)} do what a {needs.role} must",
            why=f"it lacks {', '.join(lacking)}",
            remedy="Grant exactly these: `deeptrace topics acls` prints the kafka-acls commands. Or correct the user.",
        )
    if allowed.missing:
        raise TopicMissing(
            f"missing topics: {', '.join(sorted(allowed.missing))}",
            why="Kafka ignores a subscription to a topic that does not exist",
            remedy="Run `deeptrace topics apply`.",
        )


async def ask(settings: KafkaSettings, names: Iterable[str], group: str | None = None) -> Allowed:
    """Return what this process may do on the topics `names` and in `group`, where one is named. Creates no topic.

    A broker without ACLs allows everything.

    Raises:
        BrokerUnavailable, BrokerNotTrusted, NotAuthenticated
        ConfigError: the broker is too old to be asked (before Kafka 2.3).
    """
    client = AIOKafkaClient(
        bootstrap_servers=settings.bootstrap_servers,
        client_id="deeptrace-access",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **client_options(settings),
    )
    try:
        await client.bootstrap()
        answer = await _any(client, AllowedOnTopics(names))
        return _allowed(answer.topics, 0 if group is None else await _on_group(client, group, settings))
    except (NotImplementedError, IncompatibleBrokerVersion) as error:
        raise ConfigError("the Kafka broker is too old", why=str(error), remedy="Use Kafka 3.9 or newer.") from error
    except (KafkaError, ValueError) as error:
        raise await unreachable(settings) from error
    finally:
        await client.close()


def _allowed(found: Iterable[Any], on_group: int) -> Allowed:
    operations, missing, hidden = {}, set(), set()
    for code, name, _, partitions, allowed in found:
        operations[name] = 0 if allowed == NOT_TOLD else allowed
        if for_code(code) is TopicAuthorizationFailedError:
            hidden.add(name)
        elif not partitions:
            missing.add(name)
    return Allowed(operations, frozenset(missing), frozenset(hidden), on_group)


async def _any(client: AIOKafkaClient, request: AllowedOnTopics) -> Any:
    """Return the answer of the first broker that gives one: each of them knows, and one of them may be away."""
    *nodes, last = [broker.nodeId for broker in client.cluster.brokers()]
    for node in nodes:
        with suppress(NodeNotReadyError):
            return await client.send(node, request)
    return await client.send(last, request)


async def _on_group(client: AIOKafkaClient, group: str, settings: KafkaSettings) -> int:
    """Return the operations allowed on `group`; only its coordinator says so, and a new cluster has to make one first."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + settings.request_timeout_s
    while True:
        try:
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            [(code, _, _, _, _, _, allowed)] = (await client.send(node, AllowedOnGroup(group))).groups
            if code:
                raise for_code(code)
        except GroupAuthorizationFailedError:
            return 0
        except KafkaError as error:
            if not error.retriable or loop.time() >= ends_at:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
            await client.force_metadata_update()  # the coordinator may have moved to another broker
        else:
            return int(allowed)
