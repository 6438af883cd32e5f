"""Three Kafka nodes on loopback, each broker and controller, their data replicated: any one of them may die."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.stack.broker import new_cluster_id, prepare_node
from streams.stack.launch import Launch, started
from streams.stack.ports import LOOPBACK, free_ports
from streams.stack.server import Server

NODES = (1, 2, 3)

_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
# A dead node is noticed after this, not after nine seconds.
broker.session.timeout.ms=6000
"""


class Cluster:
    """Three nodes; `kill` and `restart` act on one of them by its id."""

    def __init__(self, state_dir: Path, *, launch: Launch | None = None) -> None:
        launch = launch or Launch()
        ports = free_ports(2 * len(NODES))
        self._ports = dict(zip(NODES, ports[: len(NODES)], strict=True))
        controllers = dict(zip(NODES, ports[len(NODES) :], strict=True))
        voters = ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in controllers.items())
        cluster_id = new_cluster_id()
        self.nodes: dict[int, Server] = {
            node: prepare_node(
                state_dir / f"node-{node}",
                _PROPERTIES.format(
                    node=node, voters=voters, host=LOOPBACK, port=self._ports[node], controller_port=controllers[node]
                ),
                port=self._ports[node],
                cluster_id=cluster_id,
                launch=launch,
            )
            for node in NODES
        }
        try:
            with ThreadPoolExecutor(len(NODES)) as pool:  # none is ready before two of them are there
                list(pool.map(lambda node: started(node, launch), self.nodes.values()))
        except BaseException:
            self.stop()
            raise

    @property
    def bootstrap_servers(self) -> str:
        """Return all nodes, as clients name them."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self._ports.values())

    def kill(self, node: int) -> None:
        """End a node at once."""
        self.nodes[node].kill()

    def restart(self, node: int) -> None:
        """Start a node again on its data and port; it is ready when this returns."""
        self.nodes[node].restart()

    def stop(self) -> None:
        """Stop all, at the same time: the last two could not hand over to anybody."""
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes.values()))
