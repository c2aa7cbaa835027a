"""Reads and writes the lock file of Kafka's jars: which files, and the SHA-256 each must have.

Pure but for reading files; knows nothing of where jars come from.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sandbox.devstack.errors import ChecksumError, DevstackError

LOCK_PATH = Path(__file__).with_name("kafka-jars.lock")

HEADER = """\
# The jars of the devstack's Kafka: sha256, two spaces, group:artifact:version.
# Written by `python -m sandbox.devstack.jars lock`; every start verifies it.
"""


@dataclass(frozen=True, slots=True, order=True)
class LockedJar:
    """Is one jar: its Maven coordinates and the SHA-256 its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """As in the lock file: `group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """The name in Maven's layout, unique within our set of jars."""
        return f"{self.artifact}-{self.version}.jar"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parses one line of the lock file.

        Raises:
            DevstackError: the line is not `sha256  group:artifact:version`.
        """
        sha256, _, coordinates = line.partition("  ")
        group, _, rest = coordinates.partition(":")
        artifact, _, version = rest.partition(":")
        if not re.fullmatch("[0-9a-f]{64}", sha256) or not all((group, artifact, version)):
            raise DevstackError(f"malformed line in {LOCK_PATH.name}: {line!r}", hint="restore it from version control")
        return cls(group, artifact, version, sha256)

    def verify(self, path: Path) -> None:
        """Compares the bytes of `path` with the lock.

        Raises:
            ChecksumError: they differ.
        """
        found = sha256_of(path)
        if found != self.sha256:
            raise ChecksumError(
                f"checksum mismatch for {self.coordinates}: expected sha256 {self.sha256}, got {found}",
                hint=f"{path.parent} or the download is damaged: remove it and fetch again",
            )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_lock(text: str) -> tuple[LockedJar, ...]:
    """Parses the jars of a lock file, in its order; `#` starts a comment line."""
    lines = (line.rstrip() for line in text.splitlines())
    return tuple(LockedJar.parse(line) for line in lines if line and not line.startswith("#"))


def render_lock(jars: Iterable[LockedJar]) -> str:
    """Writes the lock file of `jars`, sorted, so that a new version is a small diff."""
    return HEADER + "".join(f"{jar.sha256}  {jar.coordinates}\n" for jar in sorted(jars))
