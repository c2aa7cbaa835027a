"""Small disks that can be filled: tmpfs mounts where mounting is allowed, plain directories where it is not."""

import errno
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.devstack.processes import is_alive

SOURCE = "ringover-chaos-"  # and the pid of who mounted it: the mounts of a run that was killed can be found
BALLAST = "ballast"
PIECE = bytes(1024 * 1024)


@dataclass(frozen=True, slots=True)
class Disk:
    """One directory; `obstacle` says why it is no disk of its own that could be filled, or is None."""

    path: Path
    obstacle: str | None

    def fill(self) -> None:
        """Take every free byte of it."""
        assert self.obstacle is None
        with (self.path / BALLAST).open("ab", buffering=0) as file:
            for piece in (PIECE, bytes(1)):
                _write_until_full(file.fileno(), piece)

    def free(self) -> None:
        """Give the bytes back; nothing happens when it was not filled."""
        (self.path / BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Whoever still has files open there keeps them until it ends."""
        if self.obstacle is None:
            _run(["umount", "--lazy", str(self.path)])


def make_disk(path: Path, megabytes: int) -> Disk:
    """A disk of that size at `path`, which is made."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Disk(path, "mounting a tmpfs needs root")
    options = f"size={megabytes}m,mode=0755"
    refused = _run(["mount", "-t", "tmpfs", "-o", options, f"{SOURCE}{os.getpid()}", str(path)])
    return Disk(path, f"mounting a tmpfs failed: {refused}" if refused else None)


def unmount_abandoned() -> None:
    """Unmount what runs that were killed have left behind."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        source, path = line.split()[:2]
        pid = source.removeprefix(SOURCE)
        if source.startswith(SOURCE) and not is_alive(int(pid)):
            _run(["umount", "--lazy", path])


def _write_until_full(descriptor: int, piece: bytes) -> None:
    while True:
        try:
            os.write(descriptor, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


def _run(command: Sequence[str]) -> str:
    """What the command complains of; empty when it succeeds."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
