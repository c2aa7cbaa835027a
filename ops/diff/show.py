"""A diff for people (tables) and for scripts (JSON); values masked unless asked."""

from collections.abc import Iterator

from rich.table import Table

from ops.diff.model import HEADER, DiffResult, Example, FieldChange, Kind, Transition
from ops.kit.masking import masked_field, shown_header, shown_id
from ops.kit.output import OutputFormat, say, shorten, stdout, table, write_json, write_text

_COUNTS = ("what today's code would do", "raw records")
_TRANSITIONS = ("what changes", "from", "to", "raw records")
_EXAMPLES = ("raw record", "call", "what changes", "field", "on the topics", "today's code")

VALUE_CHARACTERS = 200

_MEANING = {
    Kind.SAME: "the same event",
    Kind.CHANGED: "a changed event",
    Kind.NEW: "a new event",
    Kind.GONE: "no event any longer",
    Kind.DEAD_SAME: "the same dead letter",
    Kind.DEAD_CHANGED: "a dead letter with another code",
    Kind.DEAD_NEW: "a new dead letter",
    Kind.DEAD_GONE: "neither dead letter nor event any longer",
    Kind.SILENT: "nothing, as before (duplicates)",
    Kind.REMOVED: "not known: older than what retention left on the topics",
}


def summary(result: DiffResult) -> str:
    """One line."""
    counts = result.counts
    parts = [f"{counts[kind]} {kind.value}" for kind in (Kind.SAME, Kind.CHANGED, Kind.NEW, Kind.GONE)]
    dead = counts[Kind.DEAD_SAME] + counts[Kind.DEAD_CHANGED] + counts[Kind.DEAD_NEW]
    verb = "differs" if result.differs else "is the same"
    events = f"events: {', '.join(parts)}; dead letters: {dead}"
    return f"a pass of today's code over {result.records} raw records {verb}; {events}"


def note(result: DiffResult) -> str | None:
    """What the counts do not say by themselves."""
    if not result.owners_moved:
        return None
    return (
        f"{result.owners_moved} records would change who owns their key if the claims were rebuilt with today's code; "
        "a rewind follows the claims as they are, and so do these counts"
    )


def render(result: DiffResult, *, reveal: bool = False) -> Iterator[Table]:
    """Counts, transitions of dead letters and examples; empty tables are left out."""
    rows = [(_MEANING[kind], count) for kind, count in result.counts.items() if count]
    yield table("", _COUNTS, rows, right=_COUNTS[1:])
    moves = [
        (_MEANING[moved.kind], _before(moved), _after(moved), count)
        for moved, count in result.differences()
        if moved.code_before or moved.code_after
    ]
    if moves:
        yield table("Dead letters that come, go or change", _TRANSITIONS, moves, right=_TRANSITIONS[3:])
    if result.examples:
        shown = [row for example in result.examples for row in _example_rows(example, reveal=reveal)]
        yield table(f"The first {len(result.examples)} that differ", _EXAMPLES, shown)


def as_json(result: DiffResult, *, reveal: bool = False) -> dict[str, object]:
    """For `-o json`."""
    counts = result.counts
    return {
        "records": result.records,
        "differs": result.differs,
        "events": {
            "identical": counts[Kind.SAME],
            "changed": counts[Kind.CHANGED],
            "new": counts[Kind.NEW],
            "no_longer": counts[Kind.GONE],
        },
        "dead_letters": {
            "identical": counts[Kind.DEAD_SAME],
            "other_code": counts[Kind.DEAD_CHANGED],
            "new": counts[Kind.DEAD_NEW],
            "no_longer": counts[Kind.DEAD_GONE],
        },
        "silent": counts[Kind.SILENT],
        "removed": counts[Kind.REMOVED],
        "owners_moved": result.owners_moved,
        "transitions": [
            {"what": moved.kind.value, "from": _before(moved), "to": _after(moved), "records": count}
            for moved, count in result.differences()
        ],
        "examples": [_example_json(example, reveal=reveal) for example in result.examples],
    }


def _before(moved: Transition) -> str:
    if moved.code_before:
        return f"dead letter {moved.code_before}"
    return "event" if moved.kind in (Kind.CHANGED, Kind.GONE) else "nothing"


def _after(moved: Transition) -> str:
    if moved.code_after:
        return f"dead letter {moved.code_after}"
    return "event" if moved.kind in (Kind.CHANGED, Kind.NEW) else "nothing"


def _example_rows(example: Example, *, reveal: bool) -> Iterator[tuple[object, ...]]:
    place = f"{example.partition}/{example.offset}"
    what = _MEANING[example.transition.kind]
    call = _printable(_call_id(example, reveal=reveal))
    if not example.fields:
        yield place, call, what, "", _before(example.transition), _after(example.transition)
    for index, change in enumerate(example.fields):
        first = (place, call, what) if index == 0 else ("", "", "")
        yield *first, change.name, *(_printable(side) for side in _sides(change, reveal=reveal))


def _example_json(example: Example, *, reveal: bool) -> dict[str, object]:
    sides = [(change.name, *_sides(change, reveal=reveal)) for change in example.fields]
    return {
        "partition": example.partition,
        "offset": example.offset,
        "call_id": _call_id(example, reveal=reveal),
        "what": example.transition.kind.value,
        "from": _before(example.transition),
        "to": _after(example.transition),
        "fields": [{"name": name, "before": before, "after": after} for name, before, after in sides],
    }


def _call_id(example: Example, *, reveal: bool) -> object:
    return example.call_id if reveal or example.call_id is None else shown_id(example.call_id)


def _sides(change: FieldChange, *, reveal: bool) -> tuple[object, object]:
    sides = change.before, change.after
    before, after = sides if reveal else (_masked(change.name, side) for side in sides)
    return before, after


def _masked(name: str, value: object) -> object:
    """What `ops.diff.compare` calls a field: a header, an attribute of the record, or a field of its value."""
    if value is None or (name == "timestamp_ms" and isinstance(value, int)):
        return value
    if name.startswith(HEADER):
        return shown_header(name.removeprefix(HEADER), str(value))
    return shown_id(value) if name in ("topic", "key") else masked_field(name, value)


def _printable(value: object) -> object:
    """A received value for a table: unable to move the terminal's cursor, and cut where it is endless."""
    return shorten(value, VALUE_CHARACTERS) if isinstance(value, str) else value


def print_diff(result: DiffResult, output: OutputFormat, *, reveal: bool) -> None:
    """The result on stdout, what it does not say by itself on stderr."""
    if output is OutputFormat.JSON:
        write_json(as_json(result, reveal=reveal))
    else:
        write_text(summary(result))
        for grid in render(result, reveal=reveal):
            stdout().print(grid)
    said = note(result)
    if said:
        say(f"note: {said}")
