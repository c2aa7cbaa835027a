"""What the commands `rewind`, `rewind undo` and `rewind log` do, from options to output."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
from aiokafka import TopicPartition

from ops.clients import admin_client
from ops.database import database
from ops.errors import NotFoundError, OpsError, StaleError, UsageError
from ops.output import OutputFormat, say, write_json
from ops.rewind import audit
from ops.rewind.documents import PlanFile, plan_document, read_plan
from ops.rewind.downstream import execute_plainly
from ops.rewind.execute import Execution
from ops.rewind.follow import follow
from ops.rewind.goals import Goal, GoalOptions, Undo, goal_of, parse_scope
from ops.rewind.group_kafka import Group
from ops.rewind.log import Entry, entry_document, passed_again
from ops.rewind.place import Place, RewindSettings
from ops.rewind.plan import Plan
from ops.rewind.prepare import World, prepare, world_of
from ops.rewind.request import Done, Request, refuse, refuse_unkept
from ops.rewind.show import ProgressBar, say_plan, show_log, show_plan
from runtime.settings import DatabaseSettings, load

Offsets = dict[int, int | None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about it, whatever the goal."""

    output: OutputFormat
    execute: bool = False
    skip_unprocessed: bool = False
    timeout: float = 60.0
    wait: bool = True
    plan_out: Path | None = None


def rewind(
    goal: GoalOptions,
    file: Path | None,
    group: str | None,
    topic: str | None,
    options: Options,
    *,
    plan_out: Path | None = None,
) -> None:
    """Plan a rewind, and carry it out if that is asked for."""
    options = replace(options, plan_out=plan_out)
    settings = load(RewindSettings)
    scope_topic, partitions = parse_scope(topic) if topic is not None else (None, None)
    place = Place(settings, group or settings.processor_group, "", partitions)
    place = replace(place, topic=scope_topic or place.names.raw)
    if file is not None:
        found = _read_file(file)
        _check_same(found, group, scope_topic, file)
        goal = replace(goal, file=found.goal)
        place = replace(place, group=found.group, topic=found.topic)
    asyncio.run(_plan_and_do(place, goal_of(goal, now=datetime.now(UTC)), options))


def undo(rewind_id: int, options: Options) -> None:
    """Plan the undoing of a rewind, and carry it out if that is asked for."""
    settings = load(RewindSettings)

    async def run() -> None:
        async with database(load(DatabaseSettings)) as connection:
            entry = await audit.entry(connection, rewind_id)
        place = Place(settings, entry.group, entry.topic, tuple(sorted(entry.before)))
        await _plan_and_do(place, Undo(rewind_id, entry.before), options)

    asyncio.run(run())


def log(limit: int, output: OutputFormat) -> None:
    """Show the audit."""
    settings = load(RewindSettings)

    async def run() -> list[tuple[Entry, Offsets | None]]:
        async with database(load(DatabaseSettings)) as connection:
            entries = await audit.entries(connection, limit=limit)
        return [(entry, await _now(settings, entry)) for entry in entries]

    found = asyncio.run(run())
    if output is OutputFormat.JSON:
        write_json([entry_document(entry, now) for entry, now in found])
    else:
        show_log(found)


async def _now(settings: RewindSettings, entry: Entry) -> Offsets | None:
    """The group's offsets, asked for only where the audit does not know how it ended."""
    if entry.committed_at is not None or entry.paused:
        return None
    try:
        async with admin_client(settings) as admin:
            group = await Group.find(admin, entry.group)
            return await group.committed([TopicPartition(entry.topic, number) for number in sorted(entry.before)])
    except NotFoundError:
        return None


async def _plan_and_do(place: Place, goal: Goal, options: Options) -> None:
    request = Request(goal, skip_unprocessed=options.skip_unprocessed, timeout=options.timeout)
    async with world_of(place) as world:
        plan = await prepare(world, goal)
        if options.plan_out is not None:
            _write_file(options.plan_out, plan)
        _talk(plan, options)
        if not options.execute:
            _print(plan, options)
            refuse(plan, request, place)
            if plan.targets:
                say("this is the plan; --execute does it")
            return
        try:
            refuse(plan, request, place)
            refuse_unkept(goal, plan)
            done = await _execute(world, plan, request)
        except StaleError:
            fresh = await prepare(world, goal)  # only now: the processors work again already
            _talk(fresh, options)
            _print(fresh, options)
            raise
        await _after(world, done, options)


async def _execute(world: World, plan: Plan, request: Request) -> Done:
    if not plan.targets:
        return Done(None, plan)
    if world.place.ours:
        return await Execution(world, plan, request, say).run()
    return await execute_plainly(world, plan, request)


async def _after(world: World, done: Done, options: Options) -> None:
    """Say what was done, and watch the processors pass the old offsets again."""
    _print(done.plan, options, rewind_id=done.rewind_id, executed=True)
    if not done.plan.targets:
        return
    number = "" if done.rewind_id is None else f"; this is rewind {done.rewind_id}"
    say(f"offsets moved: {done.plan.records:,} records will be read again{number}")
    if not world.place.ours or not options.wait or not done.plan.records:
        return
    with ProgressBar() as bar:
        end = await follow(world, done.plan, bar.show)
    if not end.done:
        say("the processors go on without us; `ringover-ops lag` shows how far they are")
        return
    say(f"passed again: {end.of:,} records in {end.seconds:.1f} s, {end.rate:,.0f} records/s")
    if world.state is not None and done.rewind_id is not None:
        await audit.ended(world.state, done.rewind_id, passed_again(end.of, end.seconds))


def _talk(plan: Plan, options: Options) -> None:
    if options.output is OutputFormat.TABLE and options.execute:
        show_plan(plan)  # what is about to be done
    say_plan(plan)


def _print(plan: Plan, options: Options, *, rewind_id: int | None = None, executed: bool = False) -> None:
    if options.output is OutputFormat.JSON:
        write_json({**plan_document(plan), "executed": executed, "rewind_id": rewind_id})
    elif not options.execute:
        show_plan(plan)


def _read_file(file: Path) -> PlanFile:
    try:
        return read_plan(file.read_bytes(), name=str(file))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error


def _check_same(found: PlanFile, group: str | None, topic: str | None, file: Path) -> None:
    if group not in {None, found.group} or topic not in {None, found.topic}:
        raise UsageError(f"{file} is a plan for group {found.group} on topic {found.topic}")


def _write_file(file: Path, plan: Plan) -> None:
    try:
        file.write_bytes(orjson.dumps(plan_document(plan), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise OpsError(f"cannot write {file}: {error.strerror}") from error
