"""`ringover-ops topics`: creates the topics of the registry."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, table, write_json
from ops.topics.plan import TopicPlan, parse_retention, shown_retention
from ops.topics.run import apply_topics
from runtime.settings import KafkaSettings, load

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)


@app.callback()
def topics() -> None:
    """The topics of schemas.topics on the broker."""


@app.command(epilog=EXIT_CODES)
def apply(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of each topic, for ever; default: the registry's.")
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(min=1, help="Default: 1 if the cluster has one broker, else 3 with min.insync.replicas 2."),
    ] = None,
    retention: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC=AGE",
            help="Keep a topic's records for another time than 30 days: raw, call, recording or dead-letter, as in "
            "recording=7d; may be repeated. Also makes segments of a day at most, which go as a whole.",
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create the topics that are missing.

    Safe to run again, with the same options. If a topic exists and differs, nothing at all is touched: the differences
    are listed with what an operator can do about each, and the exit code is 3.
    """
    with reported():
        options = {"partitions": partitions, "replication_factor": replication_factor}
        kept = parse_retention(retention or ())
        plan = asyncio.run(apply_topics(load(KafkaSettings), **options, retention=kept))
    with reporting(f"created: {', '.join(plan.created)}" if plan.created else None):
        if output is OutputFormat.JSON:
            write_json(plan)
        else:
            stdout().print(_table(plan))
    if plan.differences:
        say("error: the topics above differ from what this version expects; nothing was touched")
        raise typer.Exit(EXIT_DIFFERS)


def _table(plan: TopicPlan) -> Table:
    """What differs, or all topics as they are now."""
    if plan.differences:
        differing = [(diff.topic, diff.what, diff.wanted, diff.found, diff.remedy) for diff in plan.differences]
        return table("Topics that differ", ("topic", "what", "wanted", "found", "what to do"), differing)
    states = [("created", topic) for topic in plan.missing] + [("as wanted", topic) for topic in plan.present]
    rows = sorted((t.name, state, t.partitions, t.replication_factor, shown_retention(t)) for state, t in states)
    columns = ("topic", "state", "partitions", "replicas", "retention")
    return table("", columns, rows, right=columns[2:])
