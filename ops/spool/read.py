"""Reads a spool without touching it, also beside a running ingress."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from ingress.ports import OutgoingRecord
from ingress.spool.files import FILE_NAME
from ingress.spool.model import Row, decode_headers
from ops.kit.errors import DiffersError, NotFoundError, OpsError
from schemas.headers import ENDPOINT, header


@dataclass(slots=True)
class Waiting:
    """Sums up the records that wait for one topic from one endpoint; no bodies, no call ids."""

    topic: str
    endpoint: str
    records: int
    bytes: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class SpoolSummary:
    """Sums up a spool; `quarantined` are files that the ingress put aside, each of which needs somebody to look."""

    also_in_json: ClassVar = ("records", "bytes", "oldest")

    by_topic: Sequence[Waiting]
    quarantined: Sequence[Path]

    @property
    def records(self) -> int:
        return sum(waiting.records for waiting in self.by_topic)

    @property
    def bytes(self) -> int:
        """Their bytes, headers included."""
        return sum(waiting.bytes for waiting in self.by_topic)

    @property
    def oldest(self) -> datetime | None:
        return min((waiting.oldest for waiting in self.by_topic), default=None)

    @property
    def topics(self) -> list[str]:
        return sorted({waiting.topic for waiting in self.by_topic})


def summary(directory: Path) -> SpoolSummary:
    """Sum up what waits, by topic and endpoint.

    Raises:
        OpsError: there is no spool, or it cannot be read.
    """
    found: dict[tuple[str, str], Waiting] = {}
    with _opened(directory) as connection:
        for topic, headers, size, spooled_at in connection.execute(
            "SELECT topic, headers, size, spooled_at FROM record ORDER BY id"
        ):
            endpoint = (header(decode_headers(headers), ENDPOINT) or b"?").decode()
            waiting = found.get((topic, endpoint))
            if waiting is None:
                waiting = found[topic, endpoint] = Waiting(topic, endpoint, 0, 0, _time(spooled_at))
            waiting.records += 1
            waiting.bytes += size
    quarantined = sorted(directory.glob(f"{FILE_NAME}.set-aside-*Z"))
    return SpoolSummary([found[name] for name in sorted(found)], quarantined)


def rows(directory: Path) -> Iterator[Row]:
    """Yield every record, in the order in which it would be sent.

    Raises:
        OpsError: there is no spool, or it cannot be read.
    """
    with _opened(directory) as connection:
        for number, topic, key, value, headers, spooled_at in connection.execute(
            "SELECT id, topic, key, value, headers, spooled_at FROM record ORDER BY id"
        ):
            yield Row(number, OutgoingRecord(topic, key, value, decode_headers(headers)), spooled_at)


@contextmanager
def _opened(directory: Path) -> Iterator[sqlite3.Connection]:
    path = directory / FILE_NAME
    if not path.is_file():
        raise NotFoundError(f"there is no spool in {directory}: {FILE_NAME} is missing")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        kind = OpsError if isinstance(error, sqlite3.OperationalError) else DiffersError
        raise kind(f"the spool {path} cannot be read: {error}") from error
    except ValueError as error:
        raise DiffersError(f"the spool {path} holds what this version cannot read: {error}") from error


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
