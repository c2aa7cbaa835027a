"""`ringover-ops topics`: creates the topics of the registry."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, table, write_json
from ops.topics.plan import RETENTION, TopicPlan, compacted, parse_retention, shown_retention
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
        kept = parse_retention(retention or ())
        plan = asyncio.run(
            apply_topics(
                load(KafkaSettings), partitions=partitions, replication_factor=replication_factor, retention=kept
            )
        )
    created = [] if plan.differences else [topic.name for topic in plan.missing]
    with reporting(f"created: {', '.join(created)}" if created else None):
        if output is OutputFormat.JSON:
            write_json(_as_json(plan))
        else:
            _show(plan)
    if plan.differences:
        say("error: the topics above differ from what this version expects; nothing was touched")
        raise typer.Exit(EXIT_DIFFERS)


def _show(plan: "TopicPlan") -> None:

    if plan.differences:
        differing = [(diff.topic, diff.what, diff.wanted, diff.found, diff.remedy) for diff in plan.differences]
        stdout().print(table("Topics that differ", ("topic", "what", "wanted", "found", "what to do"), differing))
        return
    states = [("created", topic) for topic in plan.missing] + [("as wanted", topic) for topic in plan.present]
    rows = sorted(
        (topic.name, state, topic.partitions, topic.replication_factor, shown_retention(topic))
        for state, topic in states
    )
    columns = ("topic", "state", "partitions", "replicas", "retention")
    stdout().print(table("", columns, rows, right=columns[2:]))


def _as_json(plan: "TopicPlan") -> dict[str, object]:

    created = [] if plan.differences else [topic.name for topic in plan.missing]
    return {
        "created": created,
        "missing": [topic.name for topic in plan.missing] if plan.differences else [],
        "present": [topic.name for topic in plan.present],
        "retention_ms": {
            topic.name: int(topic.config[RETENTION]) for topic in (*plan.missing, *plan.present) if not compacted(topic)
        },
        "differences": [
            {"topic": diff.topic, "what": diff.what, "wanted": diff.wanted, "found": diff.found, "remedy": diff.remedy}
            for diff in plan.differences
        ],
    }
