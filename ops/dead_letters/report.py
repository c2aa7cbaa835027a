"""What the dead-letter commands print: tables for people, plain values for JSON."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from rich.table import Table

from ops.dead_letters.groups import Group
from ops.dead_letters.model import Identity, Letter
from ops.dead_letters.outcome import NoPlace, WouldBeEvent
from ops.dead_letters.plan import Plan
from ops.dead_letters.replay import Settled
from ops.kit.masking import shown_id
from ops.kit.output import shorten, table
from ops.kit.times import shown_ms

MESSAGE_CHARACTERS = 100
GROUP_COLUMNS = ("stage", "code", "bodies", "records", "replayed", "first seen", "last seen", "sample", "message")
LETTER_COLUMNS = ("id", "time", "stage", "code", "key", "origin", "replayed", "message")
PLAN_COLUMNS = ("stage", "code", "today's code makes of it", "count", "sent")


def groups_table(groups: Sequence[Group], replayed: AbstractSet[Identity]) -> Table:
    """One row per stage and code; `bodies` counts each raw record once, `records` each time it was dead-lettered."""
    rows = [
        (
            _plain(group.stage),
            _plain(group.code),
            group.origins,
            group.records,
            group.replayed(replayed),
            shown_ms(group.first_ms),
            shown_ms(group.last_ms),
            group.sample,
            _plain(group.message),
        )
        for group in groups
    ]
    return table("", GROUP_COLUMNS, rows, right=("bodies", "records", "replayed"))


def groups_json(groups: Sequence[Group], replayed: AbstractSet[Identity]) -> list[dict[str, object]]:
    """The same for scripts."""
    return [
        {
            "stage": group.stage,
            "code": group.code,
            "bodies": group.origins,
            "records": group.records,
            "replayed": group.replayed(replayed),
            "first_seen": iso(group.first_ms),
            "last_seen": iso(group.last_ms),
            "sample": str(group.sample),
            "message": group.message,
        }
        for group in groups
    ]


def letters_table(letters: Iterable[dict[str, object]]) -> Table:
    """One row per dead letter."""
    rows = [[_plain(str(letter[name])) if letter[name] else None for name in LETTER_COLUMNS] for letter in letters]
    return table("", LETTER_COLUMNS, rows)


def letter_json(letter: Letter, *, replayed: bool) -> dict[str, object]:
    """One dead letter without its body."""
    return {
        "id": str(letter.letter_id),
        "time": iso(letter.timestamp_ms),
        "stage": letter.why.stage,
        "code": letter.why.code,
        "key": None if letter.key is None else shown_id(letter.key.decode(errors="replace")),
        "origin": None if letter.origin is None else str(letter.origin),
        "replayed": replayed,
        "message": letter.why.message,
    }


def plan_table(plan: Plan) -> Table:
    """What would be sent, and what would become of it."""
    rows = [
        (_plain(found.stage), _plain(found.code), found.becomes, found.count, "yes" if found.sent else "no")
        for found in plan.outlooks
    ]
    return table("", PLAN_COLUMNS, rows, right=("count",))


def plan_json(plan: Plan, *, settled: Settled | None, sent: int | None) -> dict[str, object]:
    """The same for scripts, and what was done; `sent` and `settled` are null for a plan."""
    return {
        "plan": [
            {
                "stage": found.stage,
                "code": found.code,
                "becomes": found.becomes,
                "sent": found.sent,
                "count": found.count,
            }
            for found in plan.outlooks
        ],
        "to_send": len(plan.to_send),
        "left_out": len(plan.left_out),
        "replayed_already": plan.replayed_already,
        "passes_of_the_same_record": plan.again,
        "settled": None
        if settled is None
        else {"found": settled.found, "sent": settled.sent, "forgotten": [str(found) for found in settled.forgotten]},
        "sent": sent,
    }


def plan_prose(plan: Plan) -> list[str]:
    """The plan in sentences."""
    lines = [f"to send: {len(plan.to_send)}"]
    no_place = sum(isinstance(found.fate, NoPlace) for found in plan.left_out)
    if len(plan.left_out) > no_place:
        still_bad = len(plan.left_out) - no_place
        lines.append(f"left out: {still_bad} would be dead letters again (--even-if-still-bad sends them all the same)")
    if no_place:
        lines.append(f"left out: {no_place} have no usable call id, so no place in the raw log: export, repair, import")
    if plan.replayed_already:
        lines.append(f"replayed already: {plan.replayed_already}")
    if plan.again:
        lines.append(f"the same raw record again, on a later pass: {plan.again}")
    return lines


def settled_prose(settled: Settled) -> list[str]:
    """What an interrupted run had left, in sentences."""
    lines = []
    if settled.found or settled.sent:
        lines.append(f"of an interrupted run: {settled.found} were in the raw log, {settled.sent} sent now")
    if settled.forgotten:
        lines.append(f"of an interrupted run: {len(settled.forgotten)} were begun and never sent, and are free again")
    return lines


def settled_line(settled: Settled | None) -> str | None:
    """Tells in one line what was done before the plan could be shown; None if nothing was."""
    return "; ".join(settled_prose(settled) if settled else []) or None


def refusals(plan: Plan) -> list[str]:
    """One line for each letter that is left out: its id and what today's code says."""
    return [
        f"{candidate.letter_id}: {candidate.fate.reason.code.value}: {candidate.fate.reason.message}"
        for candidate in plan.left_out
        if not isinstance(candidate.fate, WouldBeEvent)
    ]


def iso(timestamp_ms: int) -> str:
    """A Kafka timestamp as RFC 3339, in UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(text: str) -> str:
    return shorten(text, MESSAGE_CHARACTERS)
