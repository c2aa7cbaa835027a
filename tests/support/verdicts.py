"""Verdicts as the normalizer makes them, for tests of what is made of verdicts."""

from processors.model import Normalized
from schemas.events import EventType
from schemas.identity import ClaimKey


def valid(
    event_type: EventType,
    claim_key: ClaimKey,
    *,
    value: bytes = b"{}",
    content: int = 0,
    offset: int = 0,
    time_ms: int = 0,
    key: bytes = b"a",
) -> Normalized:
    """A valid record; `content` is the hash of its value."""
    time = "2026-01-02T15:00:00Z"
    return Normalized(
        event_type, claim_key, content, key, value, key.decode(), None, None, time, time, None, "raw/0", offset, time_ms
    )
