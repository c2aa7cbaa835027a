"""PgBouncer between a program and PostgreSQL, as Debian ships it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.devstack.ports import HOST
from sandbox.devstack.postgres import UNPRIVILEGED_USER
from tests.support.ports import stable_port
from tests.support.waiting import POLL_SECONDS
from tests.unit.deploy.tools import needed

START_SECONDS = 20.0
CONFIGURATION = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
logfile = {directory}/log
pool_mode = {mode}
default_pool_size = {pool_size}
"""


@contextmanager
def pgbouncer(database_url: str, mode: str, *, pool_size: int = 20) -> Iterator[str]:
    """The URL by which a server without passwords is reached through PgBouncer; `mode`: its `pool_mode`."""
    program = needed("pgbouncer", how="make pgbouncer, or apt install pgbouncer")
    server = urlsplit(database_url)
    directory = Path(tempfile.mkdtemp(prefix="ringover-pgbouncer-"))
    user = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None  # it refuses to run as root
    port = stable_port()
    (directory / "users").write_text(f'"{server.username}" ""\n')
    (directory / "ini").write_text(
        CONFIGURATION.format(
            host=HOST, port=port, server_port=server.port, directory=directory, mode=mode, pool_size=pool_size
        )
    )
    for path in (directory, *directory.iterdir()):
        os.chown(path, user.pw_uid if user else -1, -1)
    libraries = ":".join(map(str, program.parents[2].glob("usr/lib/*")))
    process = subprocess.Popen(
        [program, "--quiet", *(["--user", user.pw_name] if user else []), directory / "ini"],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port, directory / "log")
        yield server._replace(netloc=f"{server.username}@{HOST}:{port}").geturl()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        assert process.poll() is None, log.read_text() if log.exists() else "PgBouncer ended without a word"
        assert time.monotonic() < deadline, "PgBouncer does not listen"
        time.sleep(POLL_SECONDS)
