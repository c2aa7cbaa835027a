"""Shows dead letters, and plans of sending them back: tables and lines for people, masked unless revealed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import orjson
from rich.table import Table

from ops.dead_letters.ledger import LedgerEntry
from ops.dead_letters.model import Letter, LetterId
from ops.dead_letters.outcome import NoPlace, OutcomeToday, StillBad, WouldBeEvent
from ops.dead_letters.plan import DeadLetterPlan
from ops.dead_letters.read import LetterFacts, LetterGroup, ListedLetter
from ops.kit.dead_letter import StatedReason
from ops.kit.masking import HIDDEN, masked_body, shown_id, shown_raw_header
from ops.kit.output import json_bytes, shorten, table
from ops.kit.times import shown
from schemas import headers
from schemas.body import parse_body

EXCERPT_BYTES = 160
DEPTH_SHOWN = 32  # the JSON writer's limit is 254, a body may have a thousand
LINE_CHARACTERS = 1_000_000
MESSAGE_CHARACTERS = 100
REFUSALS_SHOWN = 20
_GROUPS = ("stage", "code", "bodies", "records", "replayed", "first seen", "last seen", "sample", "message")
_LETTERS = ("id", "time", "stage", "code", "key", "origin", "replayed", "message")
_PLAN = ("stage", "code", "today's code makes of it", "count", "sent")


def groups_table(groups: Sequence[LetterGroup]) -> Table:
    """Show one row per stage and code."""
    return _table(_GROUPS, groups, right=("bodies", "records", "replayed"))


def letters_table(letters: Sequence[ListedLetter]) -> Table:
    """Show one row per dead letter."""
    return _table(_LETTERS, letters)


def plan_table(plan: DeadLetterPlan) -> Table:
    """Show what would become of the selected letters, and whether they are sent."""
    rows = [
        (_cell(found.stage), _cell(found.code), found.becomes, found.count, "yes" if found.sent else "no")
        for found in plan.outcomes
    ]
    return table("", _PLAN, rows, right=("count",))


def plan_notes(plan: DeadLetterPlan) -> Iterator[str]:
    """Yield the plan in sentences."""
    yield f"to send: {plan.to_send}"
    no_place = sum(isinstance(found.outcome, NoPlace) for found in plan.refused)
    if still_bad := plan.left_out - no_place:
        yield f"left out: {still_bad} would be dead letters again (--even-if-still-bad sends them all the same)"
    if no_place:
        yield f"left out: {no_place} have no usable call id, so no place in the raw log: export, repair, import"
    if plan.replayed_already:
        yield f"replayed already: {plan.replayed_already}"
    if plan.passes_of_the_same_record:
        yield f"the same raw record again, on a later pass: {plan.passes_of_the_same_record}"


def refusals(plan: DeadLetterPlan) -> Iterator[str]:
    """Yield a line for each of the first letters that are left out: its id and what today's code says."""
    for found in plan.refused[:REFUSALS_SHOWN]:
        if not isinstance(found.outcome, WouldBeEvent):
            reason = found.outcome.reason
            yield f"refused: {found.letter_id}: {reason.code.value}: {reason.message}"


@dataclass(frozen=True, slots=True)
class LetterDetails:
    """Tells everything of one dead letter, as `show` shows it."""

    id: LetterId
    time: datetime
    reason: StatedReason
    origin: str
    group: str | None
    other_passes: Sequence[LetterId]
    key: object
    headers: dict[str, str | None]
    body: object
    today: str
    replayed: str | None


def described(facts: LetterFacts, *, reveal: bool) -> LetterDetails:
    """Describe a dead letter; its signature is never shown."""
    letter = facts.letter
    return LetterDetails(
        id=letter.id,
        time=letter.time,
        reason=letter.reason,
        origin=letter.place or "the ingress",
        group=None if letter.origin is None else letter.origin.group,
        other_passes=facts.others,
        key=_key(letter.key, reveal=reveal),
        headers=_headers(letter, reveal=reveal),
        body=_body(letter.value or b"", reveal=reveal),
        today=today(facts.outcome, owned=facts.owned),
        replayed=replayed(facts.entry),
    )


def today(outcome: OutcomeToday, *, owned: bool) -> str:
    """Say what today's code makes of it."""
    match outcome:
        case WouldBeEvent(event_type=event_type):
            again = ", and a duplicate: another record owns its key" if owned else ""
            return f"would be an event now ({event_type.value}){again}"
        case StillBad(reason=reason):
            return f"would be a dead letter again: {reason.code.value}: {reason.message}"
        case NoPlace(reason=reason):
            return f"cannot be replayed as it is: {reason.code.value}: {reason.message}"


def replayed(entry: LedgerEntry | None) -> str | None:
    """Say whether and where it was sent."""
    if entry is None:
        return None
    if entry.raw_offset is None:
        return f"begun {shown(entry.begun_at)} by {entry.who}, not settled yet"
    place = f"partition {entry.raw_partition}, offset {entry.raw_offset} of the raw topic"
    return f"{place}, {shown(entry.begun_at)} by {entry.who}"


def lines_of(details: LetterDetails) -> list[str]:
    """Show the details to a person; received bytes cannot move the cursor."""
    lines = []
    for field in fields(details):
        first, *rest = _text(getattr(details, field.name)).split("\n")
        name = field.name.replace("_", " ")
        lines += [f"{name:<13} {first}", *(f"{'':<13} {line}" for line in rest)]
    return [shorten(line, LINE_CHARACTERS) for line in lines]


def _text(item: object) -> str:
    if isinstance(item, datetime):
        return shown(item)
    if isinstance(item, StatedReason) or (isinstance(item, dict | list) and item):
        return json_bytes(item, indented=True).decode()
    return "-" if item is None or item == [] else str(item)


def _key(key: bytes | None, *, reveal: bool) -> object:
    if key is None:
        return None
    text = key.decode(errors="backslashreplace")
    return text if reveal else shown_id(text)


def _headers(letter: Letter, *, reveal: bool) -> dict[str, str | None]:
    """By name: of a repeated one the last, which counts."""
    found: dict[str, str | None] = {headers.SIGNATURE: "absent"}
    for name, value in letter.headers:
        if value is None:
            found[name] = None
        elif reveal and name != headers.SIGNATURE:
            found[name] = value.decode(errors="backslashreplace")
        else:
            found[name] = shown_raw_header(name, value)
    return found


def _body(value: bytes, *, reveal: bool) -> object:
    try:
        document = parse_body(value)
    except orjson.JSONDecodeError:
        excerpt = repr(value[:EXCERPT_BYTES])[2:-1] if reveal else HIDDEN
        return f"not JSON, {len(value)} bytes: {excerpt}"
    return _cut(document) if reveal else masked_body(document)


def _cut(document: object, depth: int = 0) -> object:
    if not isinstance(document, dict | list):
        return document
    if depth >= DEPTH_SHOWN:
        return "…"
    if isinstance(document, dict):
        return {name: _cut(item, depth + 1) for name, item in document.items()}
    return [_cut(item, depth + 1) for item in document]


def _table(columns: Sequence[str], values: Sequence[object], *, right: Sequence[str] = ()) -> Table:
    """Make a row of each value, from the fields that the columns name."""
    names = [column.replace(" ", "_") for column in columns]
    return table("", columns, [[_cell(getattr(value, name)) for name in names] for value in values], right=right)


def _cell(item: object) -> str | None:
    if isinstance(item, datetime):
        return shown(item)
    return None if item is None or item is False else shorten(str(item), MESSAGE_CHARACTERS)
