"""Prints the demo's findings as tables."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from ops.kit.output import lines_of_cell, plain, table
from ops.kit.times import duration
from ops.send.show import SHORT_ID, answers_table
from sandbox.demo.checks import SPECIFICATION_CALL, Check
from sandbox.demo.observed import LoadRates, Observed, SeenEvent

DUPLICATES_SHOWN = 6


def print_report(console: Console, observed: Observed, rates: LoadRates) -> None:
    """Print all tables but the checklist."""
    console.print(answers_table(observed.answers, title="What the ingress answered"))
    console.print(_events_table(observed))
    console.print(_duplicates_table(observed))
    console.print(_dead_letters_table(observed))
    console.print(_rates_table(rates))


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print the checklist, a line for each check."""
    for check in checks:
        mark = plain("✓ ", "green") if check.holds else plain("✗ ", "red")
        detail = f" ({check.detail})" if check.detail else ""
        console.print(mark + plain(f"{check.name}{detail}", "" if check.holds else "red"))


def _events_table(observed: Observed) -> Table:
    events = [event for event in observed.seen.events if event.headers.subject == SPECIFICATION_CALL]
    grid = table("The specification's call, normalized", ("", "as a consumer reads it"), ())
    for event in sorted(events, key=lambda event: event.source):
        grid.add_row("topic", plain(event.record.topic))
        grid.add_row("key", plain((event.record.key or b"").decode(errors="replace")))
        grid.add_row("value", plain((event.record.value or b"").decode(errors="replace"), "bold"))
        grid.add_row("headers", lines_of_cell(_headers(event)), end_section=True)
    return grid


def _headers(event: SeenEvent) -> Iterator[str]:
    headers = event.headers
    yield f"ce_type: {headers.event_type.value}"
    yield f"ce_id: {headers.event_id[:SHORT_ID]}…"
    yield f"ce_time: {headers.time}"
    yield f"ce_idempotencykey: {headers.idempotency_key}"
    yield f"ce_sourceoffset: {headers.source_offset}"


def _duplicates_table(observed: Observed) -> Table:
    repeated = sorted(
        (row for row in observed.claims if row.records > 1),
        key=lambda row: (SPECIFICATION_CALL not in row.key, row.key),
    )
    rows: list[tuple[object, ...]] = [
        (row.key, row.records - 1, observed.conflicts.count(row.key) or None) for row in repeated[:DUPLICATES_SHOWN]
    ]
    if rest := repeated[DUPLICATES_SHOWN:]:
        conflicts = sum(observed.conflicts.count(row.key) for row in rest)
        rows.append((f"{len(rest)} more keys", sum(row.records - 1 for row in rest), conflicts or None))
    columns = ("idempotency key", "duplicates", "of them conflicts")
    return table("Duplicates: counted in the state table, not emitted", columns, rows, right=columns[1:])


def _dead_letters_table(observed: Observed) -> Table:
    rows = []
    for dead in observed.seen.dead:
        reason, origin = dead.letter.reason, dead.letter.origin
        where = f"{origin.topic}/{origin.partition}/{origin.offset}" if origin else "the ingress"
        rows.append((reason.stage.value, reason.code.value, reason.message, where, len(dead.record.value or b"")))
    columns = ("stage", "code", "reason", "from", "body bytes")
    return table("Dead letters: the body as received, and why", columns, rows, right=("body bytes",))


def _rates_table(rates: LoadRates) -> Table:
    rows = [
        ("webhooks acknowledged", f"{rates.webhooks_per_second:,.0f} /s", f"{rates.webhooks:,} posted"),
        ("events committed", f"{rates.events_per_second:,.0f} /s", f"{rates.events:,} seen"),
        ("received until visible, p50", duration(rates.p50_seconds), "under this load, all on this machine"),
        ("received until visible, p99", duration(rates.p99_seconds), ""),
    ]
    return table("Measured", ("what", "value", ""), rows, right=("value",))
