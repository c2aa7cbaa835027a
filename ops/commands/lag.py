# ruff: noqa: PLC0415 - a command imports what it works with when it runs: --help must be quick
"""`ringover-ops lag`: how far the processors are behind, in records and in time."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from ops.commands.common import OutputOption, reported
from ops.output import OutputFormat, say, stdout, table, write_json

if TYPE_CHECKING:
    from ops.lag import GroupLag

COLUMNS = ("partition", "committed", "log end", "lag (records)", "lag (time)", "")


def lag(
    group: Annotated[str | None, typer.Option(help="Consumer group; default: PROCESSOR_GROUP.")] = None,
    topic: Annotated[str | None, typer.Option(help="Full topic name; default: the raw topic.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Lag of a consumer group per partition: committed offset, log end, records behind, time behind.

    The time is the age of the oldest record not yet processed, by the broker's clock. A partition without a commit
    counts as a whole. A group or topic that does not exist ends with exit code 4.
    """
    from ops.lag import as_json
    from ops.lag_kafka import read_lag
    from ops.settings import GroupSettings
    from runtime.settings import KafkaSettings, load
    from schemas.topics import TopicNames

    settings = load(KafkaSettings)
    with reported():
        found = asyncio.run(
            read_lag(
                settings,
                group=group or load(GroupSettings).processor_group,
                topic=topic or TopicNames(settings.kafka_topic_prefix).raw,
            )
        )
    if output is OutputFormat.JSON:
        write_json(as_json(found))
    else:
        print_lag(found)


def print_lag(lag: "GroupLag") -> None:
    """The table, the sum and what retention took."""
    from ops.lag import bar, duration

    most = max((partition.records for partition in lag.partitions), default=0)
    rows = [
        (
            partition.partition,
            "none" if partition.committed is None else partition.committed,
            partition.log_end,
            partition.records,
            duration(partition.seconds),
            bar(partition.records, most),
        )
        for partition in lag.partitions
    ]
    title = f"{lag.group} on {lag.topic} ({lag.state})"
    stdout().print(table(title, COLUMNS, rows, right=COLUMNS[:5]))
    worst = f", worst: partition {lag.worst.partition}" if lag.worst else ""
    stdout().print(f"total: {lag.records} records, {duration(lag.seconds)}{worst}", markup=False)
    expired = sum(partition.expired for partition in lag.partitions)
    if expired:
        say(f"warning: retention deleted {expired} offsets that this group never processed")
