"""Small disks that can be filled: tmpfs mounts where mounting is allowed, plain directories where it is not."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.devstack.processes import is_alive

SOURCE = "ringover-chaos-"  # and the pid of who mounted it: the mounts of a run that was killed can be found
ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Disk:
    """One directory; `obstacle` says why it is no disk of its own that could be filled, or is None."""

    path: Path
    megabytes: int
    obstacle: str | None

    def fill(self) -> None:
        """Leave no free byte: the disk shrinks to what is on it, which takes no memory as a ballast would."""
        assert self.obstacle is None
        for _ in range(ATTEMPTS):
            if not _run(["mount", "-o", f"remount,size={self._used()}", str(self.path)]):
                return  # it fails when somebody writes in between

    def free(self) -> None:
        """Give it its size back; nothing happens when it was not filled."""
        if self.obstacle is None:
            _run(["mount", "-o", f"remount,size={self.megabytes}m", str(self.path)])

    def _used(self) -> int:
        found = os.statvfs(self.path)
        return max(found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize)  # 0 would mean without limit

    def unmount(self) -> None:
        """Whoever still has files open there keeps them until it ends."""
        if self.obstacle is None:
            _run(["umount", "--lazy", str(self.path)])


def make_disk(path: Path, megabytes: int) -> Disk:
    """A disk of that size at `path`, which is made."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Disk(path, megabytes, "mounting a tmpfs needs root")
    options = f"size={megabytes}m,mode=0755"
    refused = _run(["mount", "-t", "tmpfs", "-o", options, f"{SOURCE}{os.getpid()}", str(path)])
    return Disk(path, megabytes, f"mounting a tmpfs failed: {refused}" if refused else None)


def unmount_abandoned() -> None:
    """Unmount what runs that were killed have left behind."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        source, path = line.split()[:2]
        pid = source.removeprefix(SOURCE)
        if source.startswith(SOURCE) and not is_alive(int(pid)):
            _run(["umount", "--lazy", path])


def _run(command: Sequence[str]) -> str:
    """What the command complains of; empty when it succeeds."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
