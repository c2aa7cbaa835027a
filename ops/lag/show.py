"""Lag as a table for people: pure."""

from collections.abc import Sequence
from datetime import UTC

from rich.table import Table

from ops.kit.output import shorten, table
from ops.kit.times import duration
from ops.lag.model import GroupLag, bar

COLUMNS = ("partition", "committed", "log end", "lag (records)", "lag (time)")
MAX_WORDS = 500


def lag_table(lag: GroupLag, more: Sequence[Sequence[str]] = (), columns: Sequence[str] = ()) -> Table:
    """Makes a table of one row per partition; `more` are cells added to each row, under `columns`."""
    most = max((partition.records for partition in lag.partitions), default=0)
    headings = [*COLUMNS, *columns, ""]
    rows = [
        (
            partition.partition,
            "none" if partition.committed is None else partition.committed,
            partition.log_end,
            partition.records,
            duration(partition.seconds),
            *(more[index] if more else ()),
            bar(partition.records, most),
        )
        for index, partition in enumerate(lag.partitions)
    ]
    return table(f"{lag.group} on {lag.topic} ({lag.state})", headings, rows, right=headings[:-1])


def total_line(lag: GroupLag, moving: str = "") -> str:
    """The sum, and the partition to look at; `moving` is what others say of how the sum changes."""
    worst = f", worst: partition {lag.worst.partition}" if lag.worst else ""
    return f"total: {lag.records} records, {duration(lag.seconds)}{moving}{worst}"


def standstill_lines(lag: GroupLag) -> list[str]:
    """Each partition that stands still, with the reason and who told it."""
    return [
        f"partition {partition.partition} stands still since {found.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: "
        f"{shorten(found.problem, MAX_WORDS)} ({shorten(found.processor, MAX_WORDS)})"
        for partition in lag.partitions
        if (found := partition.standstill) is not None
    ]


def expired_line(lag: GroupLag) -> str | None:
    """Tells how many records retention removed before they were processed; None if none."""
    expired = sum(partition.expired for partition in lag.partitions)
    return f"warning: retention deleted {expired} offsets that this group never processed" if expired else None
