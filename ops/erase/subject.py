"""Reads whom an erasure is about, and finds the records that are about them: pure."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ops.kit.errors import UsageError
from ops.kit.masking import NUMBER_HEADERS, mask_number
from schemas.numbers import E164_PATTERN, EXTENSION_PATTERN, SIP_PATTERN

_E164 = re.compile(E164_PATTERN)
_OTHER = re.compile(f"{EXTENSION_PATTERN}|{SIP_PATTERN}")
_BETWEEN_DIGITS = rb"[ ().\-/]{0,3}"  # as people write numbers


@dataclass(frozen=True, slots=True)
class Number:
    """A number in E.164 form, an extension, a short code or a `sip:` address; never shown whole."""

    written: str

    def __str__(self) -> str:
        return f"number {mask_number(self.written)}"

    def pattern(self) -> re.Pattern[bytes]:
        """Finds it in any bytes.

        In E.164 form with `+`, `00` or nothing before it, with spaces and the like between the digits. Anything else
        only as a body's caller or called number, or as the whole of a header: few digits are a part of much else.
        """
        if _E164.fullmatch(self.written):
            digits = _BETWEEN_DIGITS.join(digit.encode() for digit in self.written.removeprefix("+"))
            return re.compile(rb"(?<![0-9])(?:00)?" + digits + rb"(?![0-9])")
        spellings = [b'"%b"' % spelled for spelled in sorted(_json_spellings(self.written))]
        if self.written.isdigit():
            spellings.append(self.written.encode() + rb"(?![0-9.])")  # as a JSON number
        whole = re.escape(self.written.encode())
        return re.compile(rb'(?i:"(?:from|to)"\s*:\s*(?:%b)|\x00%b\x00)' % (b"|".join(spellings), whole))


def parse_number(text: str) -> Number:
    """A number as an operator gives it.

    Raises:
        UsageError: it is none of these; the message does not repeat it.
    """
    if not _E164.fullmatch(text) and not _OTHER.fullmatch(text):
        raise UsageError(
            "--number takes the E.164 form ('+', country code and number, 6 to 15 digits, nothing else), "
            "an extension or short code of 1 to 6 digits, or a sip: address"
        )
    return Number(text)


def searched(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The bytes of a record in which a number is looked for."""
    beside = [text or b"" for name, text in headers if name in NUMBER_HEADERS]
    return b"\0".join([key or b"", value or b"", *beside, b""]) if beside else b"%b\0%b" % (key or b"", value or b"")


def _json_spellings(text: str) -> set[bytes]:
    """Patterns of the string inside JSON: as it is or in ASCII, and each `/` escaped or not, as PHP does."""
    whole = {json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False)}
    return {re.escape(spelled).replace(b"/", rb"\\?/") for spelled in whole}


def letter_pattern(call_ids: Iterable[str], number: Number | None) -> re.Pattern[bytes] | None:
    """Finds, in a body of whatever form, one of the ids as a JSON string, or the number."""
    quoted = [b'"' + re.escape(call_id.encode()) + b'"' for call_id in call_ids]
    wanted = [*quoted, *([number.pattern().pattern] if number else [])]
    return re.compile(b"|".join(wanted)) if wanted else None
