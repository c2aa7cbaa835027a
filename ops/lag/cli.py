"""`ringover-ops lag`: tells how far the processors are behind, in records and in time."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json
from ops.kit.settings import OffsetSettings
from ops.kit.standstill import StandstillReader
from ops.lag.model import GroupLag
from ops.lag.read import lag_with_standstills
from ops.lag.show import lag_table, lines, warnings
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
    settings = load(OffsetSettings)
    with reported():
        found = asyncio.run(lag_with_standstills(StandstillReader(settings, say), settings, group, topic))
    if output is OutputFormat.JSON:
        write_json(found)
    else:
        print_lag(found)


def print_lag(lag: GroupLag) -> None:
    """Print the table and its lines, and on stderr what retention took."""
    for part in (lag_table(lag), *lines(lag)):
        stdout().print(part)
    for warning in warnings(lag):
        say(warning)
