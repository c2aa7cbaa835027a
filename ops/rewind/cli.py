"""`ringover-ops rewind`: moves a consumer group's committed offsets, as a plan first."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ops.diff.show import print_diff
from ops.kit.change import carry_out
from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS, UsageError
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json
from ops.kit.postgres import database
from ops.kit.progress import shown_progress
from ops.kit.settings import OffsetSettings
from ops.rewind import audit
from ops.rewind.execute import RewindRequest
from ops.rewind.read import rewind_session
from ops.rewind.run import MoveOffsets, compare, follow
from ops.rewind.show import log_table
from ops.rewind.target import RewindScope, ToTargets, Undo, parse_plan, parse_scope, target_of
from processors.settings import ProcessorSettings
from runtime.settings import DatabaseSettings, load

app = typer.Typer()

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
        return
    with reported():
        if diff and execute:
            raise UsageError("--diff moves nothing: leave out --execute")
        scope, file = _scope(group, topic, from_file)
        target = target_of(
            now=datetime.now(UTC),
            to=to,
            since=since,
            earliest=to_earliest,
            latest=to_latest,
            offset=to_offset,
            shift=shift_by,
            file=file,
            other_group=to_group,
        )
        if not diff:
            request = RewindRequest(target, skip_unprocessed, timeout)
            asyncio.run(_move(scope, request, execute=execute, wait=not no_wait, output=output, plan_out=plan_out))
            return
        with shown_progress("comparing") as advance:
            work = compare(load(ProcessorSettings), scope, target, examples=examples, advance=advance)
            found = asyncio.run(work)
    print_diff(found, output, reveal=reveal)
    if found.differs:
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

    async def run() -> None:
        async with database(load(DatabaseSettings)) as connection:
            entry = await audit.entry(connection, rewind_id)
        scope = RewindScope(settings, entry.group, entry.topic, tuple(sorted(entry.before)))
        request = RewindRequest(Undo(rewind_id, entry.before), skip_unprocessed, timeout)
        await _move(scope, request, execute=execute, wait=not no_wait, output=output)

    with reported():
        _refuse_options_of_parent(context)
        settings = load(OffsetSettings)
        asyncio.run(run())


@app.command("log", epilog=EXIT_CODES)
def show_log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Every rewind that was carried out or begun: who, when, what, and how it ended."""
    with reported():
        _refuse_options_of_parent(context)
        entries = asyncio.run(audit.read_log(load(OffsetSettings), load(DatabaseSettings), limit=limit))
    if output is OutputFormat.JSON:
        write_json(entries)
    else:
        stdout().print(log_table(entries))


async def _move(
    scope: RewindScope,
    request: RewindRequest,
    *,
    execute: bool,
    wait: bool,
    output: OutputFormat,
    plan_out: Path | None = None,
) -> None:
    """Plan and carry out, then watch the processors pass the old offsets again."""
    async with rewind_session(scope) as session:
        change = MoveOffsets(session, request, say, plan_out=plan_out)
        rewound = (await carry_out(change, execute=execute, output=output)).result
        if rewound is None or not scope.ours or not wait or not rewound.records:
            return
        with shown_progress("passing again") as advance:
            end = await follow(session, rewound.partitions, advance)
        if not end.done:
            say("the processors go on without us; `ringover-ops lag` shows how far they are")
            return
        say(f"passed again: {end.of:,} records in {end.seconds:.1f} s, {end.rate:,.0f} records/s")
        if session.state is not None and rewound.rewind_id is not None:
            await audit.passed(session.state, rewound.rewind_id, records=end.of, seconds=end.seconds)


def _scope(group: str | None, topic: str | None, from_file: Path | None) -> tuple[RewindScope, ToTargets | None]:
    """Raises UsageError: what is named cannot be, or does not fit together."""
    settings = load(OffsetSettings)
    name, partitions = parse_scope(topic) if topic is not None else (None, None)
    scope = RewindScope(settings, group or settings.processor_group, name or settings.raw_topic, partitions)
    if from_file is None:
        return scope, None
    try:
        found = parse_plan(from_file.read_bytes(), name=str(from_file))
    except OSError as error:
        raise UsageError(f"cannot read {from_file}: {error.strerror}") from error
    if group not in {None, found.group} or name not in {None, found.topic}:
        raise UsageError(f"{from_file} is a plan for group {found.group} on topic {found.topic}")
    return replace(scope, group=found.group, topic=found.topic), found.target


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
