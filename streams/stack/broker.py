import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import StackUnavailable
from streams.stack.artifacts import ensure_jars
from streams.stack.broker_security import BrokerSecurity
from streams.stack.java import java_command
from streams.stack.launch import Launch, started
from streams.stack.ports import LOOPBACK, free_ports
from streams.stack.process import spawn
from streams.stack.readiness import broker_is_ready
from streams.stack.server import Server, ServerSpec

_FORMAT_TIMEOUT_S = 60.0

# Paths are relative to the working folder: `log.dirs` splits at commas, and a state folder may have one in its name.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}{front_listeners}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised_fronts}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{front_protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# The default takes 128 MB of the heap for compacting logs that are small here.
log.cleaner.dedupe.buffer.size=4194304
"""

_LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=Console
appender.console.type=Console
appender.console.name=Console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} %m%n
# Prints every setting there is, several times, at each start.
logger.settings.name=org.apache.kafka.common.config.AbstractConfig
logger.settings.level=WARN
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A listener more, for clients that come through something else (a proxy): it tells them to go on to `advertised_port`."""

    port: int
    advertised_port: int


def start_broker(
    state_dir: Path,
    *,
    port: int | None = None,
    launch: Launch | None = None,
    fronts: Sequence[Front] = (),
    security: BrokerSecurity | None = None,
) -> Server:
    """Start a single-node KRaft broker with its data under `state_dir`; it is ready when this returns.

    Topics are not created by themselves. `address` is what clients bootstrap from; with `security` there are listeners more, and ACLs.
    Raises StackUnavailable.
    """
    launch = launch or Launch()
    return started(prepare_broker(state_dir, port=port, launch=launch, fronts=fronts, security=security), launch)


def prepare_broker(
    state_dir: Path,
    *,
    port: int | None,
    launch: Launch,
    fronts: Sequence[Front] = (),
    security: BrokerSecurity | None = None,
) -> Server:
    """Do everything up to the start of a broker that is its own controller."""
    free_port, controller_port = free_ports(2)
    port = port or free_port
    secured = security.listeners if security else ""
    properties = _PROPERTIES.format(
        host=LOOPBACK,
        port=port,
        controller_port=controller_port,
        front_listeners="".join(f",FRONT{n}://{LOOPBACK}:{front.port}" for n, front in enumerate(fronts)) + secured,
        advertised_fronts="".join(f",FRONT{n}://{LOOPBACK}:{front.advertised_port}" for n, front in enumerate(fronts))
        + secured,
        front_protocols="".join(f",FRONT{n}:PLAINTEXT" for n in range(len(fronts)))
        + (security.protocols if security else ""),
    )
    return prepare_node(state_dir, properties, port=port, launch=launch, security=security)


def prepare_node(
    state_dir: Path,
    properties: str,
    *,
    port: int,
    launch: Launch,
    cluster_id: str | None = None,
    security: BrokerSecurity | None = None,
) -> Server:
    """Do everything up to the start of a node with these properties: get the jars, write the configuration, format the data folder.

    Nodes of one cluster have the same `cluster_id`; one is made up where there is none.
    """
    jars = ensure_jars("kafka", launch.cache_dir, progress=launch.progress, cancelled=launch.cancelled)
    work_dir = state_dir.resolve() / "broker"
    work_dir.mkdir(parents=True, exist_ok=True)
    properties += security.write(work_dir) if security else ""
    (work_dir / "server.properties").write_text(properties, encoding="utf-8")
    (work_dir / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
    options = {"log4j2.configurationFile": "log4j2.properties"}
    log = state_dir.resolve() / "logs" / "broker.log"
    if not (work_dir / "data" / "meta.properties").exists():
        arguments = ["format", "--cluster-id", cluster_id or new_cluster_id(), "--config", "server.properties"]
        arguments += security.format_arguments if security else []
        command = java_command(work_dir, "kafka.tools.StorageTool", arguments, jars=jars, properties=options)
        _format(command, work_dir, log.with_name("broker-format.log"))
    return Server(
        ServerSpec(
            name="broker",
            port=port,
            command=java_command(work_dir, "kafka.Kafka", ["server.properties"], jars=jars, properties=options),
            work_dir=work_dir,
            log=log,
            is_ready=lambda: broker_is_ready(port),
        ),
        bound=launch.bound,
    )


def new_cluster_id() -> str:
    """Make up an id; one that starts with a dash would be an option to the tool that formats (1 in 64 did)."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _format(command: list[str], work_dir: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    spawned = spawn(command, work_dir=work_dir, log=log, env={}, bound=True)
    finished = spawned.process.wait_gone(_FORMAT_TIMEOUT_S)
    spawned.release()
    if not finished or not (work_dir / "data" / "meta.properties").exists():
        raise StackUnavailable(
            "The broker's data folder could not be formatted",
            why=log.read_text(errors="replace").strip()[-500:],
            remedy=f"See {log}.",
        )
