"""Becomes every child of the devstack: `child.py PARENT_PID SIGNAL UID GID PATH -- COMMAND...`.

Runs as a script with nothing but the standard library, so that it costs a few hundredths of a
second. It ties the child's life to its parent's, takes root away from PostgreSQL, and becomes COMMAND.
PATH is a directory that COMMAND must be able to reach.
"""

import ctypes
import os
import sys

# linux/prctl.h and linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *values: int) -> None:
    """Calls the kernel; a failure is an `OSError`."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def drop_root(uid: int, gid: int, program: str, path: str) -> None:
    """Becomes `uid`; PostgreSQL refuses to run as root.

    An installation or data directory behind root's private home would then be out of reach. Only in that
    case the right to pass closed directories is kept.
    """
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # access(2) asks as the user, without capabilities; and exec drops those that are not made ambient.
    if os.access(program, os.X_OK) and os.access(path, os.R_OK | os.X_OK):
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    mask = 1 << CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; then high words
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def main(arguments: list[str]) -> None:
    """Ties this process's life to its parent's and becomes the command."""
    parent, death_signal, uid, gid = (int(value) for value in arguments[:4])
    path, command = arguments[4], arguments[6:]
    if uid != os.getuid():
        drop_root(uid, gid, command[0], path)
    # After the change of user, which clears it (prctl(2)). The kernel sends it when the THREAD that forked
    # us ends: see `processes.spawner`.
    prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before the line above
        sys.exit("the parent is gone")
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    except OSError as exc:
        sys.exit(f"cannot run {command[0]}: {exc.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
