"""A dead letter as read from its topic, and its identity: pure.

Reading is lenient where `schemas.dead_letter` is strict: a letter of an older version, whose code is not known any
more, must still be listed and replayed.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from ops.kit.errors import UsageError
from schemas import dead_letter
from schemas.headers import AnyHeaders, header

REPLAYED_FROM = "replayed-from"
IMPORTED_FROM = "imported-from"
MARKERS = (REPLAYED_FROM, IMPORTED_FROM)
NOT_SAID = "-"  # for a stage or code that the headers lack

_ID = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Where a dead letter stands in its topic; written `P:O`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The raw record that was given up; `group` is who gave it up."""

    topic: str
    partition: int
    offset: int
    group: str

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Why:
    """The reason as the headers say it, whatever they say."""

    stage: str
    code: str
    message: str


Identity: TypeAlias = tuple[str, int, int] | LetterId


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; `headers` are the original ones, without the reason's."""

    letter_id: LetterId
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders
    why: Why
    origin: Origin | None

    @property
    def identity(self) -> Identity:
        """The same for all dead letters of one raw record: each pass over the raw log makes one more."""
        origin = self.origin
        return self.letter_id if origin is None else (origin.topic, origin.partition, origin.offset)


def parse_id(text: str) -> LetterId:
    """The inverse of `str(LetterId)`.

    Raises:
        UsageError: it is none.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a dead letter's id; write partition:offset, such as 3:1207")
    return LetterId(int(match[1]), int(match[2]))


def read_letter(
    letter_id: LetterId,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: AnyHeaders,
) -> Letter:
    """Split a record of the dead-letter topic; the last reason counts. Never raises."""
    why = Why(
        _text(headers, dead_letter.STAGE) or NOT_SAID,
        _text(headers, dead_letter.CODE) or NOT_SAID,
        _text(headers, dead_letter.MESSAGE) or "",
    )
    originals = [(name, item) for name, item in headers if not name.startswith(dead_letter.PREFIX)]
    return Letter(letter_id, timestamp_ms, key, value, originals, why, _origin(headers))


def without_markers(headers: AnyHeaders) -> AnyHeaders:
    """Only the newest marker is kept on a record: it names a dead letter whose own origin leads further back."""
    return [(name, value) for name, value in headers if name not in MARKERS]


def replay_marker(topic: str, letter_id: LetterId) -> tuple[str, bytes]:
    """The header of a record that was replayed."""
    return REPLAYED_FROM, f"{topic}/{letter_id.partition}/{letter_id.offset}".encode()


def import_marker(letter_id: LetterId) -> tuple[str, bytes]:
    """The header of a record that was imported after a repair."""
    return IMPORTED_FROM, str(letter_id).encode()


def marked(headers: AnyHeaders, topic: str) -> LetterId | None:
    """Which dead letter of `topic` a raw record was sent for, if any."""
    imported = _text(headers, IMPORTED_FROM)
    if imported is not None:
        return parse_id(imported) if _ID.fullmatch(imported) else None
    place, _, offset = (_text(headers, REPLAYED_FROM) or "").rpartition("/")
    name, _, partition = place.rpartition("/")
    text = f"{partition}:{offset}"
    return parse_id(text) if name == topic and _ID.fullmatch(text) else None


def _origin(headers: AnyHeaders) -> Origin | None:
    topic = _text(headers, dead_letter.TOPIC)
    place = f"{_text(headers, dead_letter.PARTITION)}:{_text(headers, dead_letter.OFFSET)}"
    match = _ID.fullmatch(place)
    if not topic or match is None:
        return None
    return Origin(topic, int(match[1]), int(match[2]), _text(headers, dead_letter.GROUP) or NOT_SAID)


def _text(headers: AnyHeaders, name: str) -> str | None:
    value = header(headers, name)
    return None if value is None else value.decode(errors="replace")
