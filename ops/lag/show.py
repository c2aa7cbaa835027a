"""Shows a lag as a table and lines."""

from collections.abc import Sequence
from datetime import UTC

from rich.table import Table

from ops.kit.output import shorten, table
from ops.kit.times import duration
from ops.lag.model import GroupLag

BAR_CELLS = 20
COLUMNS = ("partition", "committed", "log end", "lag (records)", "lag (time)")
MAX_WORDS = 500


def lag_table(lag: GroupLag, more: Sequence[Sequence[str]] = (), columns: Sequence[str] = ()) -> Table:
    """Make a table of one row per partition; `more` are cells added to each row, under `columns`."""
    most = max((partition.lag_records for partition in lag.partitions), default=0)
    headings = [*COLUMNS, *columns, ""]
    rows = [
        (
            partition.partition,
            "none" if partition.committed is None else partition.committed,
            partition.log_end,
            partition.lag_records,
            duration(partition.lag_seconds),
            *(more[index] if more else ()),
            bar(partition.lag_records, most),
        )
        for index, partition in enumerate(lag.partitions)
    ]
    return table(f"{lag.group} on {lag.topic} ({lag.state})", headings, rows, right=headings[:-1])


def bar(value: float, worst: float, *, cells: int = BAR_CELLS) -> str:
    """Draw a bar in proportion to the worst one; anything above zero shows at least one cell."""
    return "█" * max(1, round(cells * value / worst)) if value > 0 and worst > 0 else ""


def lines(lag: GroupLag, moving: str = "") -> list[str]:
    """The sum with the partition to look at, and each that stands still; `moving` tells how the sum changes."""
    worst = "" if lag.worst_partition is None else f", worst: partition {lag.worst_partition}"
    return [
        f"total: {lag.lag_records} records, {duration(lag.lag_seconds)}{moving}{worst}",
        *(
            f"partition {partition.partition} stands still since {found.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: "
            f"{shorten(found.problem, MAX_WORDS)} ({shorten(found.processor, MAX_WORDS)})"
            for partition in lag.partitions
            if (found := partition.standstill) is not None
        ),
    ]


def warnings(lag: GroupLag) -> list[str]:
    """Tell how many records retention removed before they were processed."""
    expired = sum(partition.expired_records for partition in lag.partitions)
    return [f"warning: retention deleted {expired} offsets that this group never processed"] if expired else []
