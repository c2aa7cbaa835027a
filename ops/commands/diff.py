# ruff: noqa: PLC0415 - a command imports what it works with when it runs: --help must be quick
"""`ringover-ops diff`: what a pass of today's code would change on the topics."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from ops.commands.common import OutputOption, reported
from ops.errors import EXIT_DIFFERS
from ops.output import OutputFormat, say, stdout, write_json, write_text

if TYPE_CHECKING:
    from ops.calls.progress import OnProgress
    from ops.diff.model import DiffResult
    from processors.settings import ProcessorSettings


def diff(
    since: Annotated[str | None, typer.Option(help="Only webhooks at most so old: 15m, 2h, 3d; default: all.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="How many differences to show.")] = 10,
    reveal: Annotated[bool, typer.Option("--reveal", help="Whole numbers and transcripts.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Run this version's code over the processed part of the raw log, in memory, and compare with the topics.

    Says how many events a rewind would emit again as they are, changed, new or no longer, and the same for dead
    letters. Writes nothing. Exit code 3 when anything differs.
    """
    from ops.calls.progress import shown_progress
    from processors.settings import ProcessorSettings
    from runtime.settings import load

    settings = load(ProcessorSettings)
    with reported(), shown_progress("comparing") as on_progress:
        result = asyncio.run(_diff(settings, since, examples, on_progress))
    print_diff(result, output, reveal=reveal)
    if result.differs:
        raise typer.Exit(EXIT_DIFFERS)


def print_diff(result: "DiffResult", output: OutputFormat, *, reveal: bool) -> None:
    """The result on stdout."""
    from ops.diff.show import as_json, note, render, summary

    if output is OutputFormat.JSON:
        write_json(as_json(result, reveal=reveal))
    else:
        write_text(summary(result))
        for grid in render(result, reveal=reveal):
            stdout().print(grid)
    said = note(result)
    if said:
        say(f"note: {said}")


async def _diff(settings: "ProcessorSettings", since: str | None, examples: int, shown: "OnProgress") -> "DiffResult":
    from ops.diff.ranges import processed_ranges
    from ops.diff.run import diff as run_diff

    ranges = await processed_ranges(settings, since)
    return await run_diff(settings, ranges, examples=examples, on_progress=shown)
