"""Keeps records in the spool's file: SQLite, write-ahead log, an fsync for each transaction. Blocking; for one thread.

Statements are few and large on purpose: Python's sqlite3 lets go of the interpreter for each row and each statement,
and has to wait for a busy event loop to get it back.
"""

import itertools
import os
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ingress.ports import OutgoingRecord
from ingress.spool.files import OWNER_ONLY, DamagedError, create, sqlite_errors
from ingress.spool.model import (
    BUCKETS,
    Append,
    Delete,
    Read,
    Request,
    Result,
    Row,
    bucket_of,
    decode_headers,
    encode_headers,
)
from runtime.errors import RefusedError, SpoolUnavailableError

VERSION = 1
# Only `ringover-ops spool show` reads beside us, and only shrinking minds it.
BUSY_SECONDS = 0.1
# Deleting needs room, too: kept aside so that a full disk can still be drained. More than the write-ahead log holds
# between two checkpoints (4 MiB, and one group of 4 MiB), which must fit into the file then.
RESERVE_BYTES = 16 * 1024 * 1024
RESERVE_NAME = "spool.reserve"
DISK_FULL = "the spool: its disk is full"
SHRINK_BYTES = 4 * 1024 * 1024
ROWS_PER_INSERT = (256, 32, 4, 1)  # few statements, so that each stays prepared

_SCHEMA = """
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    key BLOB,
    value BLOB NOT NULL,
    headers BLOB NOT NULL,
    size INTEGER NOT NULL,
    spooled_at INTEGER NOT NULL
) STRICT
"""
_INSERT_ONE = "INSERT INTO record (topic, key, value, headers, size, spooled_at) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT = {rows: _INSERT_ONE + ", (?, ?, ?, ?, ?, ?)" * (rows - 1) for rows in ROWS_PER_INSERT}
_PRESENT = "SELECT json_group_array(id) FROM record WHERE id IN (SELECT value FROM json_each(?))"
_DELETE = "DELETE FROM record WHERE id IN (SELECT value FROM json_each(?))"
_READ = """
SELECT json_group_array(json_array(id, topic, iif(key IS NULL, NULL, hex(key)), hex(value), hex(headers), spooled_at))
FROM (
    SELECT *, sum(size) OVER (ORDER BY id) - size AS before
    FROM (SELECT * FROM record WHERE id > ? ORDER BY id LIMIT ?)
) WHERE before < ?
"""
_OLDEST = "SELECT spooled_at FROM record ORDER BY id LIMIT 1"


@dataclass(slots=True)
class Contents:
    """Sums up what the file holds."""

    records: int = 0
    bytes: int = 0
    oldest_at: int | None = None
    buckets: "array[int]" = field(default_factory=lambda: array("L", bytes(array("L").itemsize * BUCKETS)))


class Store:
    """Is the open file of the spool."""

    def __init__(self, path: Path, *, last_id: int = 0) -> None:
        """Open the file or begin it; a new one counts its ids on from `last_id`.

        Raises:
            DamagedError: it is corrupt or read-only.
            SpoolUnavailableError: the disk does not let us.
            RefusedError: another version of the program wrote it.
        """
        self.path = path
        self.last_id = last_id
        self.reserved = False
        create(path)
        with sqlite_errors():
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def apply(self, requests: Sequence[Request]) -> list[Result]:
        """Carry everything out in one transaction, in order; returns after the fsync.

        Raises:
            DamagedError, SpoolUnavailableError: nothing was done.
        """
        results: list[Result] = []
        if not self.reserved and any(isinstance(request, Append) for request in requests) and not self.reserve():
            raise SpoolUnavailableError(DISK_FULL)
        with sqlite_errors(), self._transaction():
            for kind, run in itertools.groupby(requests, type):
                if kind is Append:
                    appends = [request for request in run if isinstance(request, Append)]
                    self._insert(appends)
                    results += [None] * len(appends)
                else:
                    results += [self._one(request) for request in run]
        return results

    def reserve(self) -> bool:
        """Keep room aside; whether there is so much. Until then nothing is appended."""
        descriptor = -1
        try:
            descriptor = os.open(self._reserve_path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            self.reserved = True
        except OSError:
            self._reserve_path.unlink(missing_ok=True)
            self.reserved = False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return self.reserved

    def release(self) -> None:
        """Give up what was kept aside, to be able to delete."""
        self.reserved = False
        with suppress(OSError, sqlite3.Error):
            self._reserve_path.unlink(missing_ok=True)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def oldest_at(self) -> int | None:
        """When the oldest record was spooled, in milliseconds of Unix time."""
        with sqlite_errors():
            row = self._connection.execute(_OLDEST).fetchone()
        return row[0] if row else None

    def contents(self) -> Contents:
        found = Contents(oldest_at=self.oldest_at())
        with sqlite_errors():
            for key, size in self._connection.execute("SELECT key, size FROM record"):
                found.records += 1
                found.bytes += size
                if key is not None:
                    found.buckets[bucket_of(key)] += 1
        return found

    def shrink(self) -> None:
        """Give the space of an empty spool back, if it took much; not while somebody reads it."""
        with suppress(sqlite3.Error, OSError):
            if sum(Path(f"{self.path}{suffix}").stat().st_size for suffix in ("", "-wal")) >= SHRINK_BYTES:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; never raises."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @property
    def _reserve_path(self) -> Path:
        return self.path.with_name(RESERVE_NAME)

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA temp_store = MEMORY")  # no bodies in files elsewhere
        complaint = execute("PRAGMA quick_check(1)").fetchone()[0]
        if complaint != "ok":
            raise DamagedError(complaint)
        version = execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise RefusedError(
                f"{self.path} is a spool of version {version}, this program writes version {VERSION}: drain it with the"
                " program that wrote it"
            )
        if version == 0:
            with self._transaction():
                execute(_SCHEMA)
                execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('record', ?)", [self.last_id])
                execute(f"PRAGMA user_version = {VERSION}")
        self._try_writing()
        self.last_id = execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()[0]
        self.reserve()

    def _try_writing(self) -> None:
        """Find out now whether the file is read-only; a full disk is no reason not to drain it."""
        try:
            with self._transaction():
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _insert(self, appends: Sequence[Append]) -> None:
        at = 0
        for rows in ROWS_PER_INSERT:
            while len(appends) - at >= rows:
                values: list[object] = []
                for append in appends[at : at + rows]:
                    record = append.record
                    headers = encode_headers(record.headers)
                    values += (record.topic, record.key, record.value, headers, append.size, append.spooled_at)
                self.last_id = self._connection.execute(_INSERT[rows], values).lastrowid or self.last_id
                at += rows

    def _one(self, request: Request) -> Result:
        match request:
            case Delete(rows=rows):
                wanted = orjson.dumps([row.id for row in rows]).decode()
                present = self._connection.execute(_PRESENT, [wanted]).fetchone()[0]
                self._connection.execute(_DELETE, [wanted])
                return set(orjson.loads(present))
            case Read(after=after, max_rows=max_rows, max_bytes=max_bytes):
                found = self._connection.execute(_READ, [after, max_rows, max_bytes]).fetchone()[0]
                return [_row(columns) for columns in sorted(orjson.loads(found))]
            case Append():
                raise AssertionError("appends are inserted together")


def _row(columns: Sequence[Any]) -> Row:
    number, topic, key, value, headers, spooled_at = columns
    record = OutgoingRecord(
        topic,
        None if key is None else bytes.fromhex(key),
        bytes.fromhex(value),
        decode_headers(bytes.fromhex(headers)),
    )
    return Row(number, record, spooled_at)
