"""Defines what lies in the spool, what its writer thread is asked for, and how headers are written. Pure."""

import asyncio
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ingress.ports import OutgoingRecord
from schemas.headers import Headers

# Keys are counted by hash bucket: memory does not grow with the spool, and calls that share one wait for each other.
BUCKETS = 4096
_LENGTHS = struct.Struct(">HI")  # of a header's name and value


@dataclass(frozen=True, slots=True)
class Row:
    """Is one spooled record; rows leave in the order of their ids. `spooled_at` is in milliseconds of Unix time."""

    id: int
    record: OutgoingRecord
    spooled_at: int


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Limits how much may wait, and for how long, before new records are refused. Nothing is ever dropped."""

    max_bytes: int
    max_age_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Append:
    """Asks to store a record; answered after the fsync. `spooled_at` is in milliseconds of Unix time."""

    record: OutgoingRecord
    spooled_at: int
    size: int
    answer: asyncio.Future[None]


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Asks to remove rows; answered with the ids that were there."""

    rows: Sequence[Row]
    answer: asyncio.Future[set[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Asks for the oldest rows after an id, at least one if there is any."""

    after: int
    max_rows: int
    max_bytes: int
    answer: asyncio.Future[list[Row]]


Request: TypeAlias = Append | Delete | Read
Result: TypeAlias = set[int] | list[Row] | None


def bucket_of(key: bytes) -> int:
    """The bucket in which a key is counted."""
    return zlib.crc32(key) % BUCKETS


def size_of(record: OutgoingRecord) -> int:
    """Bytes that count against the spool's bound: key, value and headers."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers


def encode_headers(headers: Headers) -> bytes:
    """Headers as one value, in order, with repeated names and any bytes."""
    parts = []
    for name, value in headers:
        encoded = name.encode()
        parts += [_LENGTHS.pack(len(encoded), len(value)), encoded, value]
    return b"".join(parts)


def decode_headers(encoded: bytes) -> Headers:
    """The inverse of `encode_headers`.

    Raises:
        ValueError: these are no such headers.
    """
    headers: Headers = []
    at = 0
    while at < len(encoded):
        try:
            name_length, value_length = _LENGTHS.unpack_from(encoded, at)
        except struct.error as error:
            raise ValueError("headers end within a length") from error
        middle = at + _LENGTHS.size + name_length
        end = middle + value_length
        if end > len(encoded):
            raise ValueError("headers end within a value")
        headers.append((encoded[at + _LENGTHS.size : middle].decode(), encoded[middle:end]))
        at = end
    return headers
