"""The devstack with its real processes: start, data, restarts, signals, and no process left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sandbox.devstack.datadir import lock_data_dir
from sandbox.devstack.errors import DataDirInUseError, PortTakenError
from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.ports import HOST
from sandbox.devstack.processes import is_alive
from sandbox.devstack.stack import Devstack, DevstackConfig

READY_SECONDS = 40.0  # 3 s on a quiet machine; four times slower, beside others
TOPIC = "devstack.test"
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module", autouse=True)
def jars() -> None:
    ensure_jars()  # the download is not part of any start-up time here


@dataclass
class Cli:
    process: subprocess.Popen[str]
    data: Path
    env_file: Path

    def wait_ready(self) -> None:
        wait_for(lambda: self.env_file.exists() or self.process.poll() is not None, 120, "the env file")
        assert self.process.poll() is None, self.process.communicate()[1]

    def family(self) -> list[int]:
        """Every process that has its files in this data directory."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and f"{self.data}/" in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
        backends = [
            int(child) for pid in found for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
        return [*found, *backends]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    data, env_file = tmp_path / "data", tmp_path / "devstack.env"
    command = [sys.executable, "-m", "sandbox.devstack", "run", "--data", str(data), "--env-file", str(env_file)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        yield Cli(process, data, env_file)
        process.kill()


def topics(servers: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).topics)


def test_data_survive_stop_kill_and_a_new_devstack(tmp_path: Path) -> None:
    config = DevstackConfig(data_dir=tmp_path / "data")
    began = time.monotonic()
    with Devstack(config) as stack:
        assert time.monotonic() - began < READY_SECONDS
        admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap_servers})
        admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(10)
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("create table kept (x int)")
        before = stack.env()

        stack.kafka.kill()
        stack.postgres.kill()
        assert (stack.kafka.pid, stack.postgres.pid) == (None, None)
        stack.postgres.start()
        stack.kafka.start()

        assert stack.env() == before
        assert stack.dead() is None
        assert TOPIC in topics(stack.kafka_bootstrap_servers)

    began = time.monotonic()
    with Devstack(config) as stack:
        assert time.monotonic() - began < READY_SECONDS
        assert TOPIC in topics(stack.kafka_bootstrap_servers)
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (0,)
            settings = connection.execute(
                "select current_setting('fsync'), current_setting('synchronous_commit'), "
                "current_setting('server_encoding'), current_setting('listen_addresses')"
            )
            assert settings.fetchone() == ("on", "on", "UTF8", "127.0.0.1")


def test_server_outlives_the_thread_that_started_it() -> None:
    with Devstack(DevstackConfig(kafka=False)) as stack:
        stack.postgres.stop()
        starter = threading.Thread(target=stack.postgres.start)
        starter.start()
        starter.join()
        pid = stack.postgres.pid

        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert stack.postgres.pid == pid
        data_dir = stack.data_dir
    assert not data_dir.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_all_and_exits_zero(cli: Cli, number: signal.Signals) -> None:
    cli.wait_ready()
    family = cli.family()
    variables = dict(line.split("=", 1) for line in cli.env_file.read_text().splitlines())
    assert set(variables) == {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"}
    assert len(family) > 5  # broker, postmaster and its helpers

    cli.process.send_signal(number)

    _, said = cli.process.communicate(timeout=20)
    assert cli.process.returncode == 0, said
    assert "Traceback" not in said
    assert not cli.env_file.exists()
    assert not any(map(is_alive, family))


def test_sigkill_of_the_parent_leaves_no_child_and_the_data_usable(cli: Cli) -> None:
    cli.wait_ready()
    variables = dict(line.split("=", 1) for line in cli.env_file.read_text().splitlines())
    with psycopg.connect(variables["DATABASE_URL"]):
        family = cli.family()

        cli.process.kill()

        wait_for(lambda: not any(map(is_alive, family)), 10, "the end of all children")
    with Devstack(DevstackConfig(data_dir=cli.data, kafka=False)) as stack:
        assert stack.postgres.pid is not None


HOLDER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from sandbox.devstack.datadir import lock_data_dir

data, ballast, child = Path(sys.argv[1]), bytearray(int(sys.argv[2])), sys.argv[3:]
with ExitStack() as stack:
    lock = lock_data_dir(data, stack)
    print(Popen(child, pass_fds=[lock]).pid if child else 0, flush=True)
    time.sleep(600)
"""


def holder(data: Path, *child: str, ballast: int = 0) -> tuple[subprocess.Popen[str], int]:
    """A process that has the data directory's lock, and its child's pid, which has inherited it."""
    data.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(data), str(ballast), *child]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_devstack_whose_parent_was_just_killed_is_waited_for(tmp_path: Path) -> None:
    """The kernel takes a while to take 512 MiB away; until then the process is there, and no devstack any more."""
    process, _ = holder(tmp_path, ballast=512 * 1024 * 1024)

    process.kill()

    with process, contextlib.ExitStack() as stack:
        assert lock_data_dir(tmp_path, stack)


def test_dying_servers_of_a_killed_devstack_are_waited_for_with_a_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, child = holder(tmp_path, "sleep", "600")
    process.kill()
    process.wait()
    said: list[str] = []

    def told() -> bool:
        said.append(capfd.readouterr().err)
        return "waiting" in "".join(said)

    def end() -> None:
        wait_for(told, 30, "the message")
        os.kill(child, signal.SIGKILL)

    ending = threading.Thread(target=end)
    ending.start()
    with process, contextlib.ExitStack() as stack:
        assert lock_data_dir(tmp_path, stack)
    ending.join()

    assert "waiting for the servers of a devstack that was killed to end" in "".join(said)


def test_a_devstack_that_lives_is_refused_at_once(tmp_path: Path) -> None:
    process, _ = holder(tmp_path)
    began = time.monotonic()

    with (
        contextlib.ExitStack() as stack,
        pytest.raises(DataDirInUseError, match=f"another devstack .pid {process.pid}"),
    ):
        lock_data_dir(tmp_path, stack)

    assert time.monotonic() - began < 10
    process.kill()
    process.communicate()


def test_signal_while_starting_exits_zero(cli: Cli) -> None:
    wait_for(lambda: bool(list(cli.data.glob("logs/*.log"))), 10, "the first log")
    family = cli.family()

    cli.process.terminate()

    _, said = cli.process.communicate(timeout=20)
    assert cli.process.returncode == 0, said
    assert not any(map(is_alive, family))


def test_death_of_one_child_is_told_and_ends_the_other(cli: Cli) -> None:
    cli.wait_ready()
    family = cli.family()
    broker = next(pid for pid in family if "java" in Path(f"/proc/{pid}/cmdline").read_text())

    os.kill(broker, signal.SIGKILL)

    _, said = cli.process.communicate(timeout=20)
    assert cli.process.returncode == 1
    assert "devstack: kafka was ended by SIGKILL" in said.splitlines()[-1]
    assert not any(map(is_alive, family))
    assert not cli.env_file.exists()


def test_taken_port_ends_the_start_at_once() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        with (
            pytest.raises(PortTakenError, match=f"PostgreSQL cannot listen on 127.0.0.1:{port}"),
            Devstack(DevstackConfig(postgres_port=port)),
        ):
            pass


def test_temporary_directory_of_a_killed_devstack_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import sys; from sandbox.devstack.stack import *\n"
        "with Devstack(DevstackConfig(kafka=False)) as s: print(s.data_dir, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        abandoned = Path(victim.stdout.readline().strip())
        with Devstack(DevstackConfig(kafka=False, postgres=False)):
            assert abandoned.exists()  # in use
        victim.kill()
    wait_for(lambda: not (abandoned / "postgres/data/postmaster.pid").exists(), 10, "the end of PostgreSQL")

    def swept() -> bool:  # the last backend may hold the lock for a moment
        with Devstack(DevstackConfig(kafka=False, postgres=False)):
            return not abandoned.exists()

    wait_for(swept, 10, "the sweep")
