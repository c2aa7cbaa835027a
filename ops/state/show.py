"""Shows what the state commands found as tables, and their sizes in words."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from ops.kit.output import lines_of_cell, table
from ops.kit.times import shown
from ops.state.read import ShownClaim, StateStats
from ops.state.verify import VerifyResult

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {_UNITS[-1]}"


def claims_table(claims: Sequence[ShownClaim]) -> Table:
    """One row per claim."""
    rows = [
        (
            claim.log,
            claim.claim_key,
            f"{claim.partition}/{claim.owner_offset}",
            shown(claim.owner_time),
            claim.records,
            claim.duplicates,
            lines_of_cell(f"offset {offset}, {shown(time)}" for offset, time in claim.conflicts) or "none",
        )
        for claim in claims
    ]
    columns = ("log", "claim key", "owner", "owner's time", "records", "duplicates", "conflicts")
    return table("", columns, rows, right=("records", "duplicates"))


def stats_tables(stats: StateStats) -> Iterator[Table | str]:
    """Yield types, partitions, and a line of sizes."""
    rows = [
        (log, name, *(f"{count:,}" for count in counts), oldest and shown(oldest), newest and shown(newest))
        for log, name, *counts, oldest, newest in stats.event_types
    ]
    columns = ("log", "event type", "claims", "duplicates", "conflicts", "oldest owner", "newest owner")
    yield table("Claims" + (" (from a sample)" if stats.estimated else ""), columns, rows, right=columns[2:5])
    places = [
        (found.partition, found.progress, found.committed, f"{found.behind} behind" if found.behind else "")
        for found in stats.partitions
    ]
    of_places = ("partition", "progress", "committed", "")
    yield table(f"{stats.log} and {stats.group}", of_places, places, right=of_places[:3])
    about = "about " if stats.estimated else ""
    yield f"{about}{stats.claims:,} claims, table {size(stats.table_bytes)}, index {size(stats.index_bytes)}"


def verify_tables(result: VerifyResult) -> Iterator[Table | str]:
    """Yield the differences, if any, and a line of what was compared."""
    if result.findings:
        rows = [(_words(f.fault), f.claim_key, f.partition, f.first_valid_offset, f.owner) for f in result.findings]
        columns = ("fault", "claim key", "partition", "first valid offset", "owner in the table")
        yield table("", columns, rows, right=columns[2:4])
    counts = (f"{count} {_words(fault)}" for fault, count in result.counts.items() if count)
    yield (
        f"{result.records:,} records, {result.claims:,} claims compared, {result.claims_of_removed_owners:,} more have "
        f"an owner that retention removed: {', '.join(counts) or 'no differences'}"
    )


def _words(fault: str) -> str:
    return fault.replace("_", " ")
