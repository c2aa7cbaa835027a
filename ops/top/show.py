"""Renders a snapshot of the pipeline, or the lag of one group, for people."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ops.kit.output import plain, table
from ops.kit.times import duration
from ops.lag.show import lag_table, lines, warnings
from ops.top.snapshot import PacedLag, PacedPartition, PipelineRates, Snapshot

PACE_COLUMNS = ("records/s", "caught up in")


def render(found: Snapshot | PacedLag) -> Group:
    """Rates and processors beside each other, lag below; or the lag alone."""
    if isinstance(found, PacedLag):
        return _lag(found)
    beside = Table.grid(padding=(0, 2))
    beside.add_row(_rates(found.rates), _processors(found))
    return Group(_state(found), beside, _lag(found.lag))


def _lag(lag: PacedLag) -> Group:
    words = "" if lag.processed_per_second is None else ", {} records/s, caught up in {}".format(*pace(lag))
    shown = (*lines(lag, words), *warnings(lag))
    return Group(lag_table(lag, [pace(found) for found in lag.partitions], PACE_COLUMNS), *map(plain, shown))


def pace(lag: PacedPartition | PacedLag) -> tuple[str, str]:
    """Tell the rate and the time until nothing lags."""
    if lag.processed_per_second is None:
        return "?", "?"
    eta = "not shrinking" if lag.eta_seconds is None else duration(lag.eta_seconds)
    return f"{lag.processed_per_second:,.0f}", eta


def _state(found: Snapshot) -> Text:
    line = f"{found.lag.group}: {found.lag.state}"
    if found.pause is None:
        return plain(line, "bold")
    return plain(f"{line}, PAUSED: {found.pause.reason}, {found.pause.seconds_left:.0f} s left", "bold yellow")


def _rates(found: PipelineRates | None) -> Table:
    rows = [("rates come with the next look", "")]
    if found is not None:
        named = {
            "webhooks into raw": found.webhooks_stored,
            "records processed": found.records_processed,
            **{f"events on {topic}": rate for topic, rate in found.events.items()},
            "duplicates (processed - events - dead letters)": found.duplicates_derived,
            "dead letters of the processors": found.dead_letters_of_processors,
            "dead letters of the ingress": found.dead_letters_of_ingress,
        }
        rows = [(name, f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}") for name, rate in named.items()]
    return table("", ("", "per second"), rows, right=("per second",))


def _processors(found: Snapshot) -> Table:
    rows = [(p.client_id, p.host, len(p.partitions), " ".join(map(str, p.partitions))) for p in found.processors]
    columns = ("processor", "host", "count", "partitions")
    return table("", columns, rows or [("none in the group", "", "", "")], right=("count",))
