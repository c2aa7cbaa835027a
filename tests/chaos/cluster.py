"""One or three real brokers, each a controller, too, with a listener for every program: its own way in."""

import itertools
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.devstack import kafka, kafka_wire
from sandbox.devstack.ports import HOST
from sandbox.devstack.processes import Child, Surroundings, User
from tests.support.ports import stable_port

DIRECT = "DIRECT"
CONTROLLER = "CONTROLLER"
JAVA_HEAP = "-Xmx400m"


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a broker listens for somebody, and where that somebody is told to connect."""

    name: str
    port: int
    advertised_port: int


@dataclass(frozen=True, slots=True)
class Node:
    """One broker's place in its cluster.

    Attributes:
        direct: passes no proxy; the brokers use it among themselves.
        clients: one for each program, by the program's name.
        voters: the controller port of every node by its id.
    """

    number: int
    direct: Listener
    clients: Mapping[str, Listener]
    voters: Mapping[int, int]


def render_properties(node: Node, data_dir: Path) -> str:
    """The broker's `server.properties`."""
    replicas = min(3, len(node.voters))
    in_sync = max(1, replicas - 1)
    controller_port = node.voters[node.number]
    listeners = [node.direct, *node.clients.values()]
    names = [listener.name for listener in listeners]
    settings: dict[str, object] = {
        **kafka.SETTINGS,
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{number}@{HOST}:{port}" for number, port in node.voters.items()),
        "listeners": ",".join(
            [f"{one.name}://{HOST}:{one.port}" for one in listeners] + [f"{CONTROLLER}://{HOST}:{controller_port}"]
        ),
        "advertised.listeners": ",".join(f"{one.name}://{HOST}:{one.advertised_port}" for one in listeners),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in [*names, CONTROLLER]),
        "inter.broker.listener.name": DIRECT,
        "controller.listener.names": CONTROLLER,
        "log.dirs": data_dir,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "replica.lag.time.max.ms": 10_000,
        "num.network.threads": 2,  # of each listener
        "num.io.threads": 4,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


class Broker:
    """See units.Unit. It keeps its ports and, unless it is wiped, its data."""

    def __init__(self, node: Node, disk: Path, jars: Sequence[Path], around: Surroundings) -> None:
        self.name = f"kafka-{node.number}"
        self.node = node
        self._data = disk / "data"
        self._properties = around.log_dir / f"{self.name}.properties"
        self._java_command = kafka.java_command(jars, JAVA_HEAP)
        self._around = around
        self._numbers = itertools.count(1)
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """See Unit."""
        return self._child.pid if self._child else None

    @property
    def quorum_state(self) -> Path:
        """The file in which a controller notes whom it takes for the leader (JSON)."""
        return self._data / "__cluster_metadata-0" / "quorum-state"

    @property
    def address(self) -> str:
        """Where it listens itself, for who shall pass no proxy."""
        return f"{HOST}:{self.node.direct.port}"

    def code(self) -> int | None:
        """See Unit."""
        return self._child.wait(0) if self._child else None

    def start(self) -> None:
        """See Unit. Returns before the broker is ready: alone it may never be."""
        self._properties.write_text(render_properties(self.node, self._data), encoding="utf-8")
        name = f"{self.name}-{next(self._numbers)}"
        if not (self._data / "meta.properties").exists():
            options = ["format", "--ignore-formatted", "-t", kafka.CLUSTER_ID, "-c", str(self._properties)]
            formatter = self._child_named(f"{name}-format")
            formatter.start(self._java("kafka.tools.StorageTool", *options))
            formatter.finish(kafka.START_SECONDS)
        self._child = self._child_named(name)
        self._child.start(self._java("kafka.Kafka", str(self._properties)))

    def ready(self) -> bool:
        """Whether it answers and has registered itself. Blocks for a second or two at most."""
        return self.pid is not None and kafka_wire.is_ready(HOST, self.node.direct.port, node_id=self.node.number)

    def send(self, number: signal.Signals) -> None:
        """See Unit."""
        if self._child is not None:
            self._child.send(number)

    def end(self) -> None:
        """See Unit."""
        if self._child is not None:
            self._child.stop(signal.SIGKILL, 0)

    def stop(self, seconds: float) -> None:
        """End in order, and by force after some seconds."""
        if self._child is not None:
            self._child.stop(signal.SIGTERM, seconds)

    def wipe(self) -> None:
        """Lose everything it has stored; it must not run."""
        assert self.pid is None
        shutil.rmtree(self._data, ignore_errors=True)

    def _child_named(self, name: str) -> Child:
        # SIGKILL: nothing is lost (a restart recovers the log), and nothing can linger.
        return Child(name, self._around, death_signal=signal.SIGKILL, user=User())

    def _java(self, *main: str) -> list[str]:
        return [*self._java_command, *main]


def make_brokers(
    clients: Sequence[str], disks: Sequence[Path], jars: Sequence[Path], around: Surroundings
) -> list[Broker]:
    """One broker for each disk, with a listener for each client."""
    voters = {number: stable_port() for number in range(1, len(disks) + 1)}
    brokers = []
    for number, disk in zip(voters, disks, strict=True):
        port = stable_port()
        node = Node(
            number,
            direct=Listener(DIRECT, port, port),
            clients={name: Listener(name.upper().replace("-", ""), stable_port(), stable_port()) for name in clients},
            voters=voters,
        )
        brokers.append(Broker(node, disk, jars, around))
    return brokers
