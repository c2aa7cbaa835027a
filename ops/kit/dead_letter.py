"""Reads the reason headers of a dead letter, whoever wrote it: those of an older version must be shown, too. Pure.

`schemas.dead_letter.DeadLetter.decode` is strict where this is lenient.
"""

from dataclasses import dataclass

from schemas import dead_letter
from schemas.dead_letter import Origin
from schemas.headers import AnyHeaders, header

NOT_SAID = "-"  # for a stage, code or group that the headers lack


@dataclass(frozen=True, slots=True)
class StatedReason:
    """Holds the reason as the headers state it, whatever they state."""

    stage: str
    code: str
    message: str


def is_dead_letter(headers: AnyHeaders) -> bool:
    """Whether a record of an output topic is a dead letter."""
    return header(headers, dead_letter.CODE) is not None


def reason_of(headers: AnyHeaders) -> StatedReason:
    """Why the record was given up; the last reason counts. Never raises."""
    names = (dead_letter.STAGE, dead_letter.CODE, dead_letter.MESSAGE)
    stage, code, message = (_text(headers, name) for name in names)
    return StatedReason(stage or NOT_SAID, code or NOT_SAID, message)


def origin_of(headers: AnyHeaders) -> Origin | None:
    """Which raw record was given up; None for a body that never reached the raw log. Never raises."""
    names = (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET, dead_letter.GROUP)
    topic, partition, offset, group = (_text(headers, name) for name in names)
    if not topic or not all(number.isascii() and number.isdigit() for number in (partition, offset)):
        return None
    return Origin(topic, int(partition), int(offset), group or NOT_SAID)


def _text(headers: AnyHeaders, name: str) -> str:
    return (header(headers, name) or b"").decode(errors="replace")
