"""Measures CPU time and memory of process trees, from /proc (proc(5))."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of_stat(stat: str) -> int:
    """Clock ticks in one line of /proc/PID/stat: a process's own, and those of its children that ended.

    The command, in parentheses, may hold anything. Fields 14 to 17 are utime, stime, cutime and cstime.
    """
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def tree_cpu(pid: int) -> float:
    """CPU seconds used so far by a process and all its descendants, living and dead."""
    return sum(process_cpu(member) for member in tree(pid))


def process_cpu(pid: int) -> float:
    """CPU seconds used so far by a process and its children that ended; 0 when it has ended itself."""
    stat = _read(f"/proc/{pid}/stat")
    return cpu_of_stat(stat) / TICKS if stat else 0.0


def tree(pid: int) -> list[int]:
    """A process and its living descendants; whoever ends meanwhile is left out."""
    members = [pid]
    for member in members:
        members += _children(member)
    return members


def tree_resident(pid: int) -> int:
    """Resident memory of a process and all its living descendants, in bytes; 0 when it has ended."""
    return sum(_resident(member) for member in tree(pid))


def _resident(pid: int) -> int:
    status = _read(f"/proc/{pid}/status")
    kib = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kib[0]) * 1024 if kib else 0


def _children(pid: int) -> list[int]:
    try:
        threads = [thread.name for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(f"/proc/{pid}/task/{thread}/children").split()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has just ended
        return ""
