"""`ringover-ops rewind`: moves a consumer group's committed offsets, as a plan first."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ops.diff.show import print_diff
from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS, UsageError
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat
from ops.kit.progress import shown_progress
from ops.rewind import run
from ops.rewind.target import GoalOptions

app = typer.Typer()

ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without this, only the plan is shown.")]
SkipOption = Annotated[
    bool, typer.Option("--skip-unprocessed", help="Allow to pass over records that were never processed.")
]
TimeoutOption = Annotated[
    float, typer.Option(min=1, help="Seconds to wait for the processors to let go; then exit code 6.")
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not watch the records being processed again.")]


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def rewind(
    context: typer.Context,
    *,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="A time with a zone: 2026-11-22T14:05+01:00.")] = None,
    since: Annotated[str | None, typer.Option(metavar="AGE", help="An age: 90s, 15m, 2h, 3d.")] = None,
    to_earliest: Annotated[bool, typer.Option("--to-earliest", help="The first record that is kept.")] = False,
    to_latest: Annotated[bool, typer.Option("--to-latest", help="The end of the log.")] = False,
    to_offset: Annotated[int | None, typer.Option(min=0, help="This offset in every partition.")] = None,
    shift_by: Annotated[int | None, typer.Option(help="So many records back (negative) or forth.")] = None,
    from_file: Annotated[Path | None, typer.Option(help="The targets of a plan written by --plan-out.")] = None,
    to_group: Annotated[str | None, typer.Option(help="Where another group is.")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group; default: PROCESSOR_GROUP.")] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="T:0,3", help="Topic and partitions; default: all of the raw topic.")
    ] = None,
    plan_out: Annotated[Path | None, typer.Option(help="Write the plan to this file, for --from-file.")] = None,
    execute: ExecuteOption = False,
    skip_unprocessed: SkipOption = False,
    timeout: TimeoutOption = 60.0,
    no_wait: NoWaitOption = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Move nothing: run this version's code over the range and compare.")
    ] = False,
    examples: Annotated[int, typer.Option(min=0, help="With --diff: how many differences to show.")] = 10,
    reveal: Annotated[bool, typer.Option("--reveal", help="With --diff: whole numbers and transcripts.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Move a group's committed offsets: processors emit again what they emitted before, byte for byte.

    Shows the plan; --execute does it. The processors are paused for a moment, and all offsets move at once or not at
    all: if this tool dies, they go on with either the old offsets or the new ones. Groups of teams downstream can be
    moved while none of their consumers runs.

    --diff says how many events of the range would come out identical, changed, new or no longer with this version's
    code, and ends with exit code 3 when anything would differ.
    """
    if context.invoked_subcommand is not None:
        return None

    goal = GoalOptions(
        to=to,
        since=since,
        earliest=to_earliest,
        latest=to_latest,
        offset=to_offset,
        shift=shift_by,
        other_group=to_group,
    )
    asked = run.Asked(goal, from_file, group, topic)
    if diff:
        with reported():
            if execute:
                raise UsageError("--diff moves nothing: leave out --execute")
        return _compare(asked, examples=examples, reveal=reveal, output=output)
    options = _options(output, execute, skip_unprocessed, timeout, no_wait)
    with reported():
        run.rewind(asked, replace(options, plan_out=plan_out))
    return None


def _compare(asked: run.Asked, *, examples: int, reveal: bool, output: OutputFormat) -> None:

    with reported(), shown_progress("comparing") as advance:
        result = run.compare(asked, examples=examples, advance=advance)
    print_diff(result, output, reveal=reveal)
    if result.differs:
        raise typer.Exit(EXIT_DIFFERS)


@app.command(epilog=EXIT_CODES)
def undo(
    context: typer.Context,
    rewind_id: Annotated[int, typer.Argument(help="The number that `rewind log` shows.")],
    *,
    execute: ExecuteOption = False,
    skip_unprocessed: SkipOption = False,
    timeout: TimeoutOption = 60.0,
    no_wait: NoWaitOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Move the offsets back to where they were before a rewind, in partitions that have not got there again.

    A plan and a rewind of its own: shown first, done with --execute, kept in the log.
    """
    with reported():
        _refuse_options_of_parent(context)
        run.undo(rewind_id, _options(output, execute, skip_unprocessed, timeout, no_wait))


@app.command("log", epilog=EXIT_CODES)
def show_log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Every rewind that was carried out or begun: who, when, what, and how it ended."""
    with reported():
        _refuse_options_of_parent(context)
        run.log(limit, output)


def _options(output: OutputFormat, execute: bool, skip_unprocessed: bool, timeout: float, no_wait: bool) -> run.Options:

    return run.Options(
        output=output,
        execute=execute,
        skip_unprocessed=skip_unprocessed,
        timeout=timeout,
        wait=not no_wait,
    )


def _refuse_options_of_parent(context: typer.Context) -> None:
    """`rewind --to-earliest undo 3` would drop an option silently."""
    parent = context.parent
    assert parent is not None
    given = [
        name
        for name in parent.params
        if (source := parent.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UsageError(f"{option} belongs after `{context.info_name}`, or to `rewind` alone")
