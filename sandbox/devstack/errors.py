"""Defines the devstack's errors, each with one line for a person to act on."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class DevstackError(Exception):
    """Is the base of what a person has to look at: a one-line message, and a hint what to try."""

    def __init__(self, message: str, *, hint: str = "", log_tail: str = "") -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.log_tail = log_tail
        if log_tail:
            self.add_note(log_tail)  # for who sees the traceback, as in a failed test


class UnsupportedPlatformError(DevstackError):
    """The wheels that bring Java and PostgreSQL are not here."""


class DownloadError(DevstackError):
    """A jar could not be fetched."""


class ChecksumError(DevstackError):
    """A jar is not the one in the lock file."""


class DiskFullError(DevstackError):
    """No space left on the device."""


class PortTakenError(DevstackError):
    """Somebody else listens on the wanted port."""


class DataDirInUseError(DevstackError):
    """Another devstack owns the data directory."""


class ServerDiedError(DevstackError):
    """A child ended by itself, or never became ready."""


class AbortedError(DevstackError):
    """The caller asked to stop while the devstack was starting."""


def disk_full(where: Path) -> DiskFullError:
    """Puts ENOSPC into words, whoever met it."""
    return DiskFullError(
        f"no space left on the device that holds {where}",
        hint="free some space, or point --data or RINGOVER_CACHE_DIR to another disk",
    )


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Converts an `OSError` met at or below `where`.

    Raises:
        DiskFullError: on ENOSPC or an exhausted quota.
        DevstackError: on any other failure of the file system.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full(where) from exc
        raise DevstackError(
            f"cannot read or write {where}: {exc.strerror or exc}", hint="check the path and its owner"
        ) from exc
