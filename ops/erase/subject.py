"""Whom an erasure is about, and which records are about them: pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ops.errors import UsageError
from ops.masking import mask_number
from schemas.numbers import E164_PATTERN

_E164 = re.compile(E164_PATTERN)
_BETWEEN_DIGITS = rb"[ ().\-/]{0,3}"  # as people write numbers


@dataclass(frozen=True, slots=True)
class Number:
    """A telephone number in E.164 form; never shown whole."""

    e164: str

    def __str__(self) -> str:
        return f"number {mask_number(self.e164)}"

    def pattern(self) -> re.Pattern[bytes]:
        """Finds it in any bytes: with `+`, `00` or nothing before it, with spaces and the like between the digits."""
        digits = _BETWEEN_DIGITS.join(digit.encode() for digit in self.e164.removeprefix("+"))
        return re.compile(rb"(?<![0-9])(?:00)?" + digits + rb"(?![0-9])")


def parse_number(text: str) -> Number:
    """A number as an operator gives it.

    Raises:
        UsageError: it is not E.164; the message does not repeat it.
    """
    if not _E164.fullmatch(text):
        raise UsageError("--number takes the E.164 form: '+', country code and number, 6 to 15 digits, nothing else")
    return Number(text)


def letter_pattern(call_ids: Iterable[str], number: Number | None) -> re.Pattern[bytes] | None:
    """Finds, in a body of whatever form, one of the ids as a JSON string, or the number."""
    quoted = [b'"' + re.escape(call_id.encode()) + b'"' for call_id in call_ids]
    wanted = [*quoted, *([number.pattern().pattern] if number else [])]
    return re.compile(b"|".join(wanted)) if wanted else None
