"""PostgreSQL as a unit: with its family of processes, and with older copies of itself."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from sandbox.devstack.postgres import PostgresServer, children_of
from sandbox.devstack.processes import Surroundings

SETTINGS = "postgresql.auto.conf"  # of ALTER SYSTEM, which faults use


class Database:
    """See units.Unit."""

    name = "postgres"

    def __init__(self, disk: Path, around: Surroundings, *, port: int) -> None:
        self._server = PostgresServer(disk, around, port=port)
        self._data = disk / "data"
        self._older = around.log_dir.parent / "postgres-older-copy"
        self._log = around.log_dir / "postgres.log"
        self._incarnation = 0

    @property
    def port(self) -> int:
        """Where it listens itself."""
        return self._server.port

    @property
    def url(self) -> str:
        """How to connect past every proxy."""
        return self._server.database_url

    @property
    def pid(self) -> int | None:
        """See Unit."""
        return self._server.pid

    def code(self) -> int | None:
        """See Unit."""
        return self._server.exit_code

    def start(self) -> None:
        """See Unit. Returns when it answers."""
        if self._log.exists():
            self._incarnation += 1
            self._log.rename(self._log.with_name(f"postgres-{self._incarnation}.log"))
        self._server.start()

    def send(self, number: signal.Signals) -> None:
        """See Unit. The postmaster comes first: stopped, it cannot fork."""
        pid = self._server.pid
        if pid is None:
            return
        for one in [pid, *children_of(pid)]:
            with suppress(ProcessLookupError):
                os.kill(one, number)

    def end(self) -> None:
        """See Unit. As a crash of the machine would."""
        self._server.kill()

    def stop(self) -> None:
        """Fast shutdown."""
        self._server.stop()

    def stop_immediately(self) -> None:
        """`pg_ctl stop -m immediate`: no checkpoint; the next start recovers from the log."""
        self._server.stop_immediately()

    def copy(self) -> None:
        """Keep an older copy of the data; it must not run."""
        assert self.pid is None
        shutil.rmtree(self._older, ignore_errors=True)
        _copy(self._data, self._older)

    def restore(self) -> None:
        """Put the older copy in the place of the data; it must not run. Its settings are those of now."""
        assert self.pid is None
        settings = (self._data / SETTINGS).read_bytes()
        shutil.rmtree(self._data)
        _copy(self._older, self._data)
        (self._data / SETTINGS).write_bytes(settings)


def _copy(source: Path, target: Path) -> None:
    """A copy with its owners: PostgreSQL runs as another user than root and insists on them."""
    shutil.copytree(source, target, symlinks=True)
    for path in [source, *source.rglob("*")]:
        owner = path.lstat()
        os.chown(target / path.relative_to(source), owner.st_uid, owner.st_gid, follow_symlinks=False)
