"""`ringover-ops lag`: how far the processors are behind, in records and in time."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json
from ops.kit.settings import LagSettings
from ops.kit.standstill import StandstillReader
from ops.lag.model import GroupLag, as_json
from ops.lag.read import look
from ops.lag.show import expired_line, lag_table, standstill_lines, total_line
from runtime.settings import load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def lag(
    *,
    group: Annotated[str | None, typer.Option(help="Consumer group; default: PROCESSOR_GROUP.")] = None,
    topic: Annotated[str | None, typer.Option(help="Full topic name; default: the raw topic.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Lag of a consumer group per partition: committed offset, log end, records behind, time behind.

    The time is the age of the oldest record not yet processed, by the broker's clock. A partition without a commit
    counts as a whole. Of the processors it is their own record, from which they begin: what the broker shows of their
    group may be outdated after a crash. A group or topic that does not exist ends with exit code 4.
    With DATABASE_URL, partitions of the processors that stand still are named, with the reason.
    """
    settings = load(LagSettings)
    with reported():
        found = asyncio.run(look(StandstillReader(settings), settings, group, topic))
    if output is OutputFormat.JSON:
        write_json(as_json(found))
    else:
        print_lag(found)


def print_lag(lag: GroupLag) -> None:
    """The table, the sum, what stands still and what retention took."""
    stdout().print(lag_table(lag))
    for words in (total_line(lag), *standstill_lines(lag)):
        stdout().print(words)
    line = expired_line(lag)
    if line:
        say(line)
