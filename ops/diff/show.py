"""Shows a diff to people (tables) and scripts (JSON); values masked unless asked."""

from collections.abc import Iterator
from dataclasses import replace

from rich.table import Table

from ops.diff.model import HEADER, DiffKind, DiffResult, Example, FieldChange
from ops.kit.masking import masked_field, shown_header, shown_id
from ops.kit.output import OutputFormat, say, shorten, stdout, table, write_json, write_text

_COUNTS = ("what today's code would do", "raw records")
_TRANSITIONS = ("what changes", "from", "to", "raw records")
_EXAMPLES = ("raw record", "call", "what changes", "field", "on the topics", "today's code")

VALUE_CHARACTERS = 200

_MEANING = {
    DiffKind.SAME: "the same event",
    DiffKind.CHANGED: "a changed event",
    DiffKind.NEW: "a new event",
    DiffKind.GONE: "no event any longer",
    DiffKind.DEAD_SAME: "the same dead letter",
    DiffKind.DEAD_CHANGED: "a dead letter with another code",
    DiffKind.DEAD_NEW: "a new dead letter",
    DiffKind.DEAD_GONE: "neither dead letter nor event any longer",
    DiffKind.SILENT: "nothing, as before (duplicates)",
    DiffKind.REMOVED: "not known: older than what retention left on the topics",
}


def print_diff(result: DiffResult, output: OutputFormat, *, reveal: bool) -> None:
    """Print the result on stdout, and on stderr what it does not say by itself."""
    shown = result if reveal else hidden(result)
    if output is OutputFormat.JSON:
        write_json(shown)
    else:
        write_text(summary(result))
        for grid in tables(shown):
            stdout().print(grid)
    if result.owners_moved:
        say(
            f"note: {result.owners_moved} records would change who owns their key if the claims were rebuilt with "
            "today's code; a rewind follows the claims as they are, and so do these counts"
        )


def hidden(result: DiffResult) -> DiffResult:
    """The same result, with the values of its examples masked."""
    return replace(result, examples=[_hidden(example) for example in result.examples])


def _hidden(example: Example) -> Example:
    call_id = None if example.call_id is None else str(shown_id(example.call_id))
    return replace(example, call_id=call_id, fields=tuple(map(_hidden_field, example.fields)))


def _hidden_field(change: FieldChange) -> FieldChange:
    return FieldChange(change.name, *(_masked(change.name, value) for value in (change.before, change.after)))


def _masked(name: str, value: object) -> object:
    """Masks by how `ops.diff.compare` names it: a header, an attribute of the record, or a field of its value."""
    if value is None or (name == "timestamp_ms" and isinstance(value, int)):
        return value
    if name.startswith(HEADER):
        return shown_header(name.removeprefix(HEADER), str(value))
    return shown_id(value) if name in ("topic", "key") else masked_field(name, value)


def summary(result: DiffResult) -> str:
    """Sum the result up in one line."""
    counts = result.counts
    kinds = (DiffKind.SAME, DiffKind.CHANGED, DiffKind.NEW, DiffKind.GONE)
    parts = [f"{counts[kind]} {kind.value.replace('_', ' ')}" for kind in kinds]
    dead = counts[DiffKind.DEAD_SAME] + counts[DiffKind.DEAD_CHANGED] + counts[DiffKind.DEAD_NEW]
    verb = "differs" if result.differs else "is the same"
    events = f"events: {', '.join(parts)}; dead letters: {dead}"
    return f"a pass of today's code over {result.records} raw records {verb}; {events}"


def tables(result: DiffResult) -> Iterator[Table]:
    """Yield counts, transitions of dead letters and examples; empty tables are left out."""
    rows = [(_MEANING[kind], count) for kind, count in result.counts.items() if count]
    yield table("", _COUNTS, rows, right=_COUNTS[1:])
    moves = [
        (_MEANING[moved.kind], moved.before, moved.after, count)
        for moved, count in result.differences
        if moved.code_before or moved.code_after
    ]
    if moves:
        yield table("Dead letters that come, go or change", _TRANSITIONS, moves, right=_TRANSITIONS[3:])
    if result.examples:
        shown = [row for example in result.examples for row in _example_rows(example)]
        yield table(f"The first {len(result.examples)} that differ", _EXAMPLES, shown)


def _example_rows(example: Example) -> Iterator[tuple[object, ...]]:
    moved = example.transition
    first = (f"{example.partition}/{example.offset}", _printable(example.call_id), _MEANING[moved.kind])
    if not example.fields:
        yield *first, "", moved.before, moved.after
    for change in example.fields:
        yield *first, change.name, _printable(change.before), _printable(change.after)
        first = ("", "", "")


def _printable(value: object) -> object:
    """Cut a received value where it is endless, for a table."""
    return shorten(value, VALUE_CHARACTERS) if isinstance(value, str) else value
