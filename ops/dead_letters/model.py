"""Models dead letters as read from their topic, their ids and markers, and which of them a command is about: pure.

Reading is lenient where `schemas.dead_letter` is strict: a dead letter of an older version, whose code is not known any
more, must still be listed and replayed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from ops.kit.dead_letter import StatedReason, origin_of, reason_of
from ops.kit.errors import UsageError
from ops.kit.times import milliseconds, parse_age, parse_time
from schemas.dead_letter import PREFIX, Origin
from schemas.headers import AnyHeaders, header

REPLAYED_FROM = "replayed-from"
IMPORTED_FROM = "imported-from"

_ID = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Says where a dead letter is in its topic; written `P:O`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


# The same for all dead letters of one raw record: each pass over the raw log makes one more.
Identity: TypeAlias = tuple[str, int, int] | LetterId


@dataclass(frozen=True, slots=True)
class Letter:
    """Holds one dead letter, as it is exported, too; `headers` are the original ones, without the reason's."""

    id: LetterId
    timestamp_ms: int
    reason: StatedReason
    origin: Origin | None
    key: bytes | None
    headers: AnyHeaders
    value: bytes | None

    @property
    def identity(self) -> Identity:
        """Names the raw record, or the dead letter itself if the ingress made it."""
        origin = self.origin
        return self.id if origin is None else (origin.topic, origin.partition, origin.offset)

    @property
    def time(self) -> datetime:
        """When the raw record was received, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def place(self) -> str | None:
        """Where its raw record is; None if the ingress made it."""
        origin = self.origin
        return None if origin is None else f"{origin.topic}/{origin.partition}/{origin.offset}"


def parse_id(text: str) -> LetterId:
    """Return the inverse of `str(LetterId)`.

    Raises:
        UsageError: it is none.
    """
    found = _letter_id(text)
    if found is None:
        raise UsageError(f"{text!r} is not a dead letter's id; write partition:offset, such as 3:1207")
    return found


def read_letter(
    letter_id: LetterId, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: AnyHeaders
) -> Letter:
    """Split a record of the dead-letter topic; the last reason counts. Never raises."""
    originals = [(name, item) for name, item in headers if not name.startswith(PREFIX)]
    return Letter(letter_id, timestamp_ms, reason_of(headers), origin_of(headers), key, originals, value)


def without_markers(headers: AnyHeaders) -> AnyHeaders:
    """Take older markers off: the newest names a dead letter whose own origin leads further back."""
    return [(name, value) for name, value in headers if name not in (REPLAYED_FROM, IMPORTED_FROM)]


def replay_marker(topic: str, letter_id: LetterId) -> tuple[str, bytes]:
    """Return the header of a record that was replayed."""
    return REPLAYED_FROM, f"{topic}/{letter_id.partition}/{letter_id.offset}".encode()


def import_marker(letter_id: LetterId) -> tuple[str, bytes]:
    """Return the header of a record that was imported after a repair."""
    return IMPORTED_FROM, str(letter_id).encode()


def marked(headers: AnyHeaders, topic: str) -> LetterId | None:
    """Tell for which dead letter of `topic` a raw record was sent, if for any."""
    imported = _text(headers, IMPORTED_FROM)
    if imported is not None:
        return _letter_id(imported)
    place, _, offset = (_text(headers, REPLAYED_FROM) or "").rpartition("/")
    name, _, partition = place.rpartition("/")
    return _letter_id(f"{partition}:{offset}") if name == topic else None


def _letter_id(text: str) -> LetterId | None:
    match = _ID.fullmatch(text)
    return None if match is None else LetterId(int(match[1]), int(match[2]))


def _text(headers: AnyHeaders, name: str) -> str | None:
    value = header(headers, name)
    return None if value is None else value.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects dead letters: every condition that is given must hold; `since_ms` is included, `until_ms` is not."""

    ids: frozenset[LetterId] = frozenset()
    codes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether the command is about this one."""
        return (
            (not self.ids or letter.id in self.ids)
            and (not self.codes or letter.reason.code in self.codes)
            and (not self.stages or letter.reason.stage in self.stages)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
        )


def select(
    *,
    ids: Sequence[str] | None = None,
    code: Sequence[str] | None = None,
    stage: Sequence[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    now: datetime,
) -> Selection:
    """Make the selection of a command's options.

    Raises:
        UsageError: they make no sense, alone or together.
    """
    since_ms, until_ms = _moment(since, now), _moment(until, now)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise UsageError("--since must be before --until")
    if ids and (code or stage or since or until):
        raise UsageError("give ids or conditions (--code, --stage, --since, --until), not both")
    return Selection(
        frozenset(map(parse_id, ids or ())), frozenset(code or ()), frozenset(stage or ()), since_ms, until_ms
    )


def _moment(text: str | None, now: datetime) -> int | None:
    """Read a time, or an age before `now`; only a time has a `-` or `:`."""
    if text is None:
        return None
    try:
        return milliseconds(parse_time(text) if "-" in text or ":" in text else now - parse_age(text))
    except OverflowError as error:
        raise UsageError(f"{text!r} is out of range") from error
