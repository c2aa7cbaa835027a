"""Tells apart the numbers that senders write: E.164, words for a withheld one, and those without an E.164 form.

The rules come from the contract ("Normalized events"); each pattern is read alike by Python and by pydantic's core.
"""

# E.164 (ITU-T, 2010) section 6: a country code that never starts with 0, 15 digits at most. It names no minimum; the
# shortest numbers in service (French short codes written +33 3xxx) have 6.
E164_PATTERN = r"\+[1-9][0-9]{5,14}"
EXTENSION_PATTERN = "[0-9]{1,6}"  # and short codes: dialled within a company or a country
# A `sip:` address (RFC 3261 section 19.1, the scheme in any case) up to its first space or control character.
SIP_PATTERN = r"[Ss][Ii][Pp]:[^\x00-\x20\x7f-\x9f]+"
NUMBER_MAX_CHARACTERS = 256  # of an address; SIP has no limit, a record's header needs one
WITHHELD_WORDS = ("anonymous", "anonyme", "restricted", "private", "unavailable", "unknown", "withheld")

# Letter by letter: a pattern that ignores case would also take the letters that Unicode folds to these.
_WITHHELD = "|".join("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in WITHHELD_WORDS)
CALLED_PATTERN = f"{E164_PATTERN}|{EXTENSION_PATTERN}|{SIP_PATTERN}"
CALLER_PATTERN = f"({CALLED_PATTERN}|{_WITHHELD})?"  # empty means withheld, too


def without_e164(number: str | None) -> str | None:
    """The number as received if it is an extension, a short code or an address; it must match one of the patterns."""
    return number if number and (number[0].isdigit() or number[3:4] == ":") else None
