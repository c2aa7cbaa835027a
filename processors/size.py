"""Bounds the size of a record before it is written: a broker that refuses a record stops its partition."""

from processors.model import Normalized
from schemas.headers import AnyHeaders
from schemas.topics import MAX_OUTPUT_BYTES

# Kafka's record batch, version 2 (Kafka documentation, "Message Format"): the batch's head of 61 bytes, then lengths,
# deltas and counts of at most 5 or 10 bytes each.
_BATCH_AND_RECORD = 61 + 40
_HEADER = 10


def event_fits(event: Normalized) -> bool:
    """Whether every topic that we write takes an event; makes its headers only if it is large."""
    # Of its parts only these have no bound of a thousand bytes.
    unbounded = len(event.value) + len(event.time) + len(event.traceparent or b"")
    return unbounded <= MAX_OUTPUT_BYTES // 2 or fits(event.key, event.value, event.headers)


def fits(key: bytes | None, value: bytes | None, headers: AnyHeaders) -> bool:
    """Whether every topic that we write takes such a record."""
    size = _BATCH_AND_RECORD + len(key or b"") + len(value or b"")
    size += sum(_HEADER + len(name.encode()) + len(content or b"") for name, content in headers)
    return size <= MAX_OUTPUT_BYTES
