"""Reading a spool without touching it, beside a running ingress too."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingress.ports import OutgoingRecord
from ingress.spool.files import FILE_NAME
from ingress.spool.model import Row, decode_headers
from ops.kit.errors import DiffersError, NotFoundError, OpsError
from schemas.headers import ENDPOINT, header


@dataclass(slots=True)
class Heap:
    """What waits for one topic from one endpoint; no bodies, no call ids."""

    topic: str
    endpoint: str
    records: int
    bytes: int
    oldest: datetime

    def as_json(self) -> dict[str, object]:
        """For `-o json`."""
        return {
            "topic": self.topic,
            "endpoint": self.endpoint,
            "records": self.records,
            "bytes": self.bytes,
            "oldest": self.oldest,
        }


def heaps(directory: Path) -> list[Heap]:
    """What waits, by topic and endpoint.

    Raises:
        OpsError: there is no spool, or it cannot be read.
    """
    found: dict[tuple[str, str], Heap] = {}
    with _opened(directory) as connection:
        for topic, headers, size, spooled_at in connection.execute(
            "SELECT topic, headers, size, spooled_at FROM record ORDER BY id"
        ):
            endpoint = (header(decode_headers(headers), ENDPOINT) or b"?").decode()
            heap = found.get((topic, endpoint))
            if heap is None:
                heap = found[topic, endpoint] = Heap(topic, endpoint, 0, 0, _time(spooled_at))
            heap.records += 1
            heap.bytes += size
    return [found[name] for name in sorted(found)]


def rows(directory: Path) -> Iterator[Row]:
    """Everything, in the order in which it would be sent.

    Raises:
        OpsError: there is no spool, or it cannot be read.
    """
    with _opened(directory) as connection:
        for number, topic, key, value, headers, spooled_at in connection.execute(
            "SELECT id, topic, key, value, headers, spooled_at FROM record ORDER BY id"
        ):
            yield Row(number, OutgoingRecord(topic, key, value, decode_headers(headers)), spooled_at)


def bad_files(directory: Path) -> list[Path]:
    """Files that the ingress set aside; each one needs somebody to look."""
    return sorted(directory.glob(f"{FILE_NAME}.set-aside-*Z"))


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
