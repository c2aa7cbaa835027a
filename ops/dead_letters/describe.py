"""`show`: everything of one dead letter, masked unless revealed: pure."""

from collections.abc import Sequence

import orjson

from ops.dead_letters.ledger import Entry
from ops.dead_letters.model import Letter, LetterId
from ops.dead_letters.outcome import Fate, NoPlace, StillBad, WouldBeEvent
from ops.kit.masking import HIDDEN, masked_body, shown_id, shown_raw_header
from ops.kit.output import shorten
from ops.kit.times import shown, shown_ms
from schemas import headers
from schemas.body import parse_body

EXCERPT_BYTES = 160
DEPTH_SHOWN = 32  # the JSON writer's limit is 254, a body may have a thousand
LINE_CHARACTERS = 1_000_000


def described(
    letter: Letter, *, fate: Fate, owned: bool, others: Sequence[LetterId], entry: Entry | None, reveal: bool
) -> dict[str, object]:
    """All there is to say. `others`: ids of the same raw record's other dead letters; `entry`: of any of them."""
    why = letter.why
    return {
        "id": str(letter.letter_id),
        "time": shown_ms(letter.timestamp_ms),
        "reason": {"stage": why.stage, "code": why.code, "message": why.message},
        "origin": "the ingress" if letter.origin is None else str(letter.origin),
        "group": None if letter.origin is None else letter.origin.group,
        "other passes": [str(letter_id) for letter_id in others],
        "key": _key(letter.key, reveal=reveal),
        "headers": _headers(letter, reveal=reveal),
        "body": _body(letter.value, reveal=reveal),
        "today": today(fate, owned=owned),
        "replayed": replayed(entry),
    }


def today(fate: Fate, *, owned: bool) -> str:
    """What today's code says of it."""
    match fate:
        case WouldBeEvent(event_type=event_type):
            again = ", and a duplicate: another record owns its key" if owned else ""
            return f"would be an event now ({event_type.value}){again}"
        case StillBad(reason=reason):
            return f"would be a dead letter again: {reason.code.value}: {reason.message}"
        case NoPlace(reason=reason):
            return f"cannot be replayed as it is: {reason.code.value}: {reason.message}"


def replayed(entry: Entry | None) -> str | None:
    """Whether and where it was sent."""
    if entry is None:
        return None
    if entry.raw_offset is None:
        return f"begun {shown(entry.begun_at)} by {entry.who}, not settled yet"
    place = f"partition {entry.raw_partition}, offset {entry.raw_offset} of the raw topic"
    return f"{place}, {shown(entry.begun_at)} by {entry.who}"


def lines_of(description: dict[str, object]) -> list[str]:
    """The description for a person; received bytes cannot move the cursor."""
    lines = []
    for name, item in description.items():
        if isinstance(item, dict | list) and item:
            text = orjson.dumps(item, option=orjson.OPT_INDENT_2).decode()
        else:
            text = "-" if item is None or item == [] else str(item)
        first, *rest = text.split("\n")
        lines += [f"{name:<13} {first}", *(f"{'':<13} {line}" for line in rest)]
    return [shorten(line, LINE_CHARACTERS) for line in lines]


def _key(key: bytes | None, *, reveal: bool) -> object:
    if key is None:
        return None
    text = key.decode(errors="backslashreplace")
    return text if reveal else shown_id(text)


def _headers(letter: Letter, *, reveal: bool) -> dict[str, str | None]:
    """By name: of a repeated one the last, which counts."""
    shown_headers: dict[str, str | None] = {headers.SIGNATURE: "absent"}
    for name, value in letter.headers:
        plain = reveal and name != headers.SIGNATURE
        if value is None:
            shown_headers[name] = None
            continue
        shown_headers[name] = value.decode(errors="backslashreplace") if plain else shown_raw_header(name, value)
    return shown_headers


def _body(value: bytes | None, *, reveal: bool) -> object:
    try:
        document = parse_body(value or b"")
    except orjson.JSONDecodeError:
        size = f"not JSON, {len(value or b'')} bytes"
        excerpt = repr((value or b"")[:EXCERPT_BYTES])[2:-1]
        return f"{size}: {excerpt}" if reveal else f"{size}: {HIDDEN}"
    return _cut(document) if reveal else masked_body(document)


def _cut(document: object, depth: int = 0) -> object:
    if not isinstance(document, dict | list):
        return document
    if depth >= DEPTH_SHOWN:
        return "…"
    if isinstance(document, dict):
        return {name: _cut(item, depth + 1) for name, item in document.items()}
    return [_cut(item, depth + 1) for item in document]
