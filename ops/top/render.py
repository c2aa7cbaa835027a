"""Renders a snapshot of the pipeline, or of one group, for people: pure."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ops.kit.output import plain, table
from ops.lag.model import GroupLag
from ops.lag.show import expired_line, lag_table, standstill_lines, total_line
from ops.top.pace import COLUMNS, cells, in_words, paces, total_pace
from ops.top.snapshot import Look, Rates


def picture(before: Look | None, look: Look, found: Rates | None) -> Group:
    """Rates and processors beside each other, lag below."""
    beside = Table.grid(padding=(0, 2))
    beside.add_row(_rates(found), _processors(look))
    seconds = 0.0 if before is None else look.at - before.at
    earlier = look if before is None else before
    return Group(_state(look), beside, lag_picture(earlier.lag, look.lag, seconds))


def lag_picture(before: GroupLag, after: GroupLag, seconds: float) -> Group:
    """The lag of a group and how it moves; the two may be one look, so many seconds apart."""
    pace = [cells(found) for found in paces(before, after, seconds)]
    total = total_line(after, in_words(total_pace(before, after, seconds)))
    lines = (total, *standstill_lines(after), expired_line(after))
    return Group(lag_table(after, pace, COLUMNS), *(plain(line) for line in lines if line))


def _state(look: Look) -> Text:
    line = f"{look.lag.group}: {look.lag.state}"
    if look.pause is None:
        return plain(line, "bold")
    return plain(f"{line}, PAUSED: {look.pause.reason}, {look.pause.seconds_left:.0f} s left", "bold yellow")


def _rates(found: Rates | None) -> Table:
    rows: list[tuple[str, str]] = []
    if found is not None:
        rows = [
            ("webhooks into raw", _number(found.stored)),
            ("records processed", _number(found.processed)),
            *((f"events on {topic}", _number(rate)) for topic, rate in found.events.items()),
            ("duplicates (processed - events - dead letters)", _number(found.duplicates)),
            ("dead letters of the processors", _number(found.dead_of_processors)),
            ("dead letters of the ingress", _number(found.dead_of_ingress)),
        ]
    return table("", ("", "per second"), rows or [("rates come with the next look", "")], right=("per second",))


def _processors(look: Look) -> Table:
    rows = [
        (process.client_id, process.host, len(process.partitions), " ".join(map(str, process.partitions)))
        for process in look.processes
    ]
    columns = ("processor", "host", "count", "partitions")
    return table("", columns, rows or [("none in the group", "", "", "")], right=("count",))


def _number(rate: float) -> str:
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"
