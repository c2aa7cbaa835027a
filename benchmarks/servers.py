"""Runs the servers of a run: a devstack of its own, sized as on a real machine, as durable as in production."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchError
from sandbox.devstack.kafka import KafkaExtra
from sandbox.devstack.locks import file_lock
from sandbox.devstack.postgres import PostgresExtra
from sandbox.devstack.processes import Surroundings
from sandbox.devstack.stack import Devstack, DevstackConfig

# Sizes as on a real server. Durability is the default: fsync and synchronous_commit are on.
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "512MB"}
# The devstack's own options of Java are for a quick start; a broker that works for hours has the full compiler.
JAVA = ("-XX:TieredStopAtLevel=4", "-Xmx1g", "-XX:AOTMode=off")


@dataclass(frozen=True, slots=True)
class Servers:
    """Holds Kafka and PostgreSQL, and where processes beside them keep their logs and files."""

    bootstrap_servers: str
    database_url: str
    kafka_pid: int
    postgres_pid: int
    directory: Path
    around: Surroundings


@contextmanager
def servers(say: Callable[[str], None], *, brief: bool = False) -> Iterator[Servers]:
    """Run them while the context is open; everything they wrote is removed afterwards.

    `brief`: so little is measured that the full compiler would take more of the machine than all else.
    """
    say("starting Kafka and PostgreSQL")
    config = DevstackConfig(
        kafka_extra=KafkaExtra(jvm_options=() if brief else JAVA), postgres_extra=PostgresExtra(settings=POSTGRES)
    )
    with Devstack(config) as stack, file_lock(stack.data_dir / "bench.lock", give_up=_refuse) as lock:
        kafka, postgres = stack.kafka.pid, stack.postgres.pid
        assert kafka is not None
        assert postgres is not None
        around = Surroundings(log_dir=stack.data_dir / "logs", lock_descriptor=lock, aborted=lambda: False)
        yield Servers(stack.kafka_bootstrap_servers, stack.database_url, kafka, postgres, stack.data_dir, around)


def _refuse(holder: str) -> None:
    raise BenchError(f"the directory is in use by {holder}")
