"""What the commands `rewind`, `rewind undo` and `rewind log` do, from options to output."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
from aiokafka import TopicPartition

from ops.diff.model import DiffResult
from ops.diff.run import diff
from ops.kit.errors import NotFoundError, OpsError, StaleError, UsageError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client
from ops.kit.output import OutputFormat, reporting, say, write_json
from ops.kit.postgres import database
from ops.kit.progress import Advance, shown_progress
from ops.kit.scan import Range
from ops.rewind import audit
from ops.rewind.downstream import execute_plainly
from ops.rewind.execute import Execution
from ops.rewind.follow import follow
from ops.rewind.json import PlanFile, plan_document, read_plan
from ops.rewind.log import Entry, entry_document, passed_again
from ops.rewind.offsets_kafka import committed
from ops.rewind.plan import Plan
from ops.rewind.prepare import World, prepare, targets, world_of
from ops.rewind.request import Done, Request, refuse, refuse_unkept
from ops.rewind.scope import Place, RewindSettings
from ops.rewind.show import say_plan, show_log, show_plan
from ops.rewind.target import Goal, GoalOptions, Undo, goal_of, parse_scope
from processors.settings import ProcessorSettings
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line names: a goal, or a plan's file with one; group and topic None: the processors' own."""

    goal: GoalOptions
    file: Path | None = None
    group: str | None = None
    topic: str | None = None


def rewind(asked: Asked, options: Options) -> None:
    """Plan a rewind, and carry it out if that is asked for."""
    place, goal = _place_and_goal(asked)
    asyncio.run(_plan_and_do(place, goal, options))


def compare(asked: Asked, *, examples: int, advance: Advance) -> DiffResult:
    """What this version's code would emit in the pass that a rewind begins, beside what the topics hold.

    Raises:
        UsageError: these are not the processors' offsets.
        OpsError: a server is away or refuses.
    """
    place, goal = _place_and_goal(asked)
    if not place.ours:
        raise UsageError("--diff is about what the processors emit; leave out --group and --topic of others")
    settings = load(ProcessorSettings)

    async def run() -> DiffResult:
        async with world_of(place) as world:
            moves = await targets(world, goal)
        again = {m.partition: Range(m.target, m.target + m.records) for m in moves if m.target is not None}
        return await diff(settings, again, examples=examples, advance=advance)

    return asyncio.run(run())


def _place_and_goal(asked: Asked) -> tuple[Place, Goal]:
    """Raises UsageError: what is named cannot be, or does not fit together."""
    settings = load(RewindSettings)
    scope_topic, partitions = parse_scope(asked.topic) if asked.topic is not None else (None, None)
    place = Place(settings, asked.group or settings.processor_group, "", partitions)
    place = replace(place, topic=scope_topic or place.names.raw)
    goal = asked.goal
    if asked.file is not None:
        found = _read_file(asked.file)
        _check_same(found, asked.group, scope_topic, asked.file)
        goal = replace(goal, file=found.goal)
        place = replace(place, group=found.group, topic=found.topic)
    return place, goal_of(goal, now=datetime.now(UTC))


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
            place, group = Place(settings, entry.group, entry.topic), Group(admin, entry.group)
            if not place.ours:
                await group.existing()
            partitions = [TopicPartition(entry.topic, number) for number in sorted(entry.before)]
            return await committed(place, group, partitions, fenced=False)
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
    number = "" if done.rewind_id is None else f"; this is rewind {done.rewind_id}"
    moved = f"offsets moved: {done.plan.records:,} records will be read again{number}"
    with reporting(moved if done.plan.targets else None):
        _print(done.plan, options, rewind_id=done.rewind_id, executed=True)
    if not done.plan.targets:
        return
    say(moved)
    if not world.place.ours or not options.wait or not done.plan.records:
        return
    with shown_progress("passing again") as advance:
        end = await follow(world, done.plan, advance)
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
