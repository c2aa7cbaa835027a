"""Makes a plan of what the servers say; changes nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database_errors
from ops.kit.topics import partitions_of_all
from ops.rewind import audit
from ops.rewind.forecast import forecast, progress_of
from ops.rewind.plan import Move, Plan, dated, plan_moves
from ops.rewind.read import read_facts, scope, timestamps
from ops.rewind.scope import Place, state_of
from ops.rewind.target import Goal, describe


@dataclass(frozen=True, slots=True)
class World:
    """The open connections of one command, its group and partitions; `state` is None for some groups downstream."""

    place: Place
    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer
    state: psycopg.AsyncConnection | None
    group: Group
    partitions: Sequence[TopicPartition]


@asynccontextmanager
async def world_of(place: Place) -> AsyncIterator[World]:
    """Connect to everything.

    Raises:
        NotFoundError: no such group, topic or partition.
        OpsError: a server is away or refuses.
    """
    async with (
        state_of(place) as state,
        admin_client(place.settings) as admin,
        reader(place.settings, isolation="read_committed") as consumer,
    ):
        group = Group(admin, place.group)
        if not await _known(place, state):
            await group.existing()
        yield World(place, admin, consumer, state, group, await scope(admin, place))


async def _known(place: Place, state: psycopg.AsyncConnection | None) -> bool:
    """Whether the state table knows what the group processed.

    Its offsets may then be gone (they expire when nobody commits for `offsets.retention.minutes`), or the group may be
    a new one on a known log: processors refuse to guess where to begin, and a rewind is how operators tell them.
    """
    if not place.ours or state is None:
        return False
    with database_errors():
        return bool(await progress_of(state, place.log_name))


async def targets(world: World, goal: Goal, *, fenced: bool = False) -> tuple[Move, ...]:
    """The moves as they would be now, without times and forecast: quick. `fenced`: see `offsets_kafka.committed`.

    Raises:
        UnsafeError: a target is beyond the log's end.
        NotFoundError: the goal is another group's offsets, and there is no such group.
    """
    progress: dict[int, int] = {}
    if world.place.ours and world.state is not None:
        with database_errors():
            progress = await progress_of(world.state, world.place.log_name)
    facts = await read_facts(
        world.place, world.group, world.consumer, world.partitions, goal, progress=progress, fenced=fenced
    )
    return plan_moves(goal, facts)


async def prepare(world: World, goal: Goal) -> Plan:
    """The whole plan; raises as `targets`."""
    moves = await targets(world, goal)
    moves = dated(goal, moves, await timestamps(world.consumer, world.place.topic, moves))
    plan = Plan(world.place.group, world.place.topic, describe(goal), moves)
    if not world.place.ours or world.state is None:
        return plan
    names = world.place.names
    counts = await partitions_of_all(world.admin, (names.raw, names.dead_letter))
    with database_errors():
        expected = await forecast(world.state, world.consumer, world.place, moves, counts)
        rate = await audit.rate(world.state, group=plan.group, topic=plan.topic)
    return Plan(plan.group, plan.topic, plan.goal, moves, expected, rate)
