"""Lag as a table for people: pure."""

from collections.abc import Sequence
from datetime import UTC

from rich.table import Table

from ops.kit.output import shorten, table
from ops.kit.times import duration
from ops.lag.model import GroupLag, bar
from ops.lag.watch import Pace

COLUMNS = ("partition", "committed", "log end", "lag (records)", "lag (time)")
MAX_WORDS = 500
PACE_COLUMNS = ("records/s", "caught up in")


def lag_table(lag: GroupLag, pace: Sequence[Pace | None] | None = None) -> Table:
    """One row per partition; `pace` adds how it moves."""
    most = max((partition.records for partition in lag.partitions), default=0)
    columns = [*COLUMNS, *(PACE_COLUMNS if pace is not None else ()), ""]
    rows = [
        (
            partition.partition,
            "none" if partition.committed is None else partition.committed,
            partition.log_end,
            partition.records,
            duration(partition.seconds),
            *(() if pace is None else pace_cells(pace[index])),
            bar(partition.records, most),
        )
        for index, partition in enumerate(lag.partitions)
    ]
    return table(f"{lag.group} on {lag.topic} ({lag.state})", columns, rows, right=columns[:-1])


def pace_cells(pace: Pace | None) -> tuple[str, str]:
    """Rate and time to zero."""
    if pace is None:
        return "?", "?"
    return f"{pace.per_second:,.0f}", "not shrinking" if pace.eta_seconds is None else duration(pace.eta_seconds)


def total_line(lag: GroupLag, pace: Pace | None = None) -> str:
    """The sum, and the partition to look at."""
    worst = f", worst: partition {lag.worst.partition}" if lag.worst else ""
    moving = "" if pace is None else ", {} records/s, caught up in {}".format(*pace_cells(pace))
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
    """What retention took before it was processed; None if nothing."""
    expired = sum(partition.expired for partition in lag.partitions)
    return f"warning: retention deleted {expired} offsets that this group never processed" if expired else None
