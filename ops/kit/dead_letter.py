"""Reads the reason headers of a dead letter, whoever wrote it: those of an older version must be shown, too. Pure.

`schemas.dead_letter.DeadLetter.decode` is strict where this is lenient.
"""

from dataclasses import dataclass

from schemas import dead_letter
from schemas.dead_letter import Origin
from schemas.headers import AnyHeaders, header

NOT_SAID = "-"  # for a stage, code or group that the headers lack


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Tells why a record was given up, and which raw record it was; the last reason counts."""

    stage: str
    code: str
    message: str
    origin: Origin | None


def is_dead_letter(headers: AnyHeaders) -> bool:
    """Whether a record of an output topic is a dead letter."""
    return header(headers, dead_letter.CODE) is not None


def given_up(headers: AnyHeaders) -> GivenUp:
    """The reason and the origin; without an origin it is a body that never reached the raw log. Never raises."""
    names = (dead_letter.STAGE, dead_letter.CODE, dead_letter.MESSAGE)
    stage, code, message = (_text(headers, name) for name in names)
    return GivenUp(stage or NOT_SAID, code or NOT_SAID, message or "", _origin(headers))


def _origin(headers: AnyHeaders) -> Origin | None:
    names = (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET, dead_letter.GROUP)
    topic, partition, offset, group = (_text(headers, name) for name in names)
    if not topic or not all(number.isascii() and number.isdigit() for number in (partition, offset)):
        return None
    return Origin(topic, int(partition), int(offset), group or NOT_SAID)


def _text(headers: AnyHeaders, name: str) -> str:
    return (header(headers, name) or b"").decode(errors="replace")
