"""`ringover-ops tail`: shows normalized events and dead letters as they become visible to consumers."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.live import stopped
from ops.kit.options import OutputOption, choice, reported
from ops.kit.output import OutputFormat, say, write_line, write_text
from ops.kit.record_view import human_line, json_object
from ops.tail.run import ALL, CHOICES, TailOptions, follow, topic_names
from runtime.settings import KafkaSettings, load
from schemas.topics import TopicNames

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def tail(
    topic: Annotated[str, choice(CHOICES, "What to follow.")] = ALL,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Not only what comes from now on.")] = False,
    maximum: Annotated[int | None, typer.Option("--max", min=1, help="End after so many records.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Everything as it is on the topic: personal data.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Follow the output topics, read committed, one line per record, until Ctrl-C (exit code 0).

    Phone numbers are masked but for the last 4 digits, transcripts, links and signatures hidden. `-o json` is one
    object per line with topic, partition, offset, key, headers and value. Commits nothing, joins no group.
    """
    settings = load(KafkaSettings)
    names = topic_names(TopicNames(settings.kafka_topic_prefix), topic)
    options = TailOptions(names, from_beginning, maximum)
    with reported():
        asyncio.run(_show(settings, options, reveal=reveal, as_lines=output is OutputFormat.JSON))


async def _show(settings: KafkaSettings, options: TailOptions, *, reveal: bool, as_lines: bool) -> None:
    def ready() -> None:
        say(f"following {', '.join(options.topics)}; Ctrl-C ends")

    async with aclosing(follow(settings, options, stop=stopped(), ready=ready)) as records:
        async for record in records:
            if as_lines:
                write_line(json_object(record, reveal=reveal))
            else:
                write_text(human_line(record, reveal=reveal))
