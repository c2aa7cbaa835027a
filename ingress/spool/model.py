"""What lies in the spool, and how its headers are written. Pure."""

import struct
import zlib
from dataclasses import dataclass

from ingress.ports import Record
from schemas.headers import Headers

# Keys are counted by lane, so that memory does not grow with the spool. Calls that share a lane wait for each other.
LANES = 4096
_LENGTHS = struct.Struct(">HI")  # of a header's name and value


@dataclass(frozen=True, slots=True)
class Row:
    """One spooled record; rows leave in the order of their ids. `spooled_at` is in milliseconds of Unix time."""

    id: int
    record: Record
    spooled_at: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait, and for how long, before new records are refused. Nothing is ever dropped."""

    max_bytes: int
    max_age_seconds: float


def lane_of(key: bytes) -> int:
    """The lane of a key."""
    return zlib.crc32(key) % LANES


def size_of(record: Record) -> int:
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
