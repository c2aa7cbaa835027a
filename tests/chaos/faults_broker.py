"""Brokers killed, stopped, frozen, and lost for good."""

import asyncio
import random

import orjson

from tests.chaos.cluster import Broker
from tests.chaos.fault import Fault, thoroughly, with_three_brokers
from tests.chaos.faults_process import frozen
from tests.chaos.world import World

FROZEN_SECONDS = (5.0, 60.0)
STOP_SECONDS = 20.0
FENCED_SECONDS = 6.0  # until the others have noticed: its session is 3 s
READY_SECONDS = 60.0


async def kill(world: World, chance: random.Random, seconds: float) -> None:
    """SIGKILL, started again at once."""
    await thoroughly(chance.choice(world.brokers).end)
    await asyncio.sleep(seconds)


async def away(world: World, chance: random.Random, seconds: float) -> None:
    """SIGKILL, started again after a while."""
    await _away(world, [chance.choice(world.brokers)], seconds)


async def restart(world: World, chance: random.Random, seconds: float) -> None:
    """In order."""
    await thoroughly(chance.choice(world.brokers).stop, STOP_SECONDS)
    await asyncio.sleep(seconds)


async def freeze(world: World, chance: random.Random, seconds: float) -> None:
    """Connections stay, nothing answers."""
    least, most = FROZEN_SECONDS
    async with frozen(chance.choice(world.brokers)):
        await asyncio.sleep(min(most, max(least, seconds)))


async def kill_controller(world: World, chance: random.Random, seconds: float) -> None:
    """The broker that leads the controllers."""
    leader = await asyncio.to_thread(_leader, world)
    await _away(world, [leader or chance.choice(world.brokers)], seconds)


async def leave_one(world: World, chance: random.Random, seconds: float) -> None:
    """Two of three: no controller, no in-sync replicas, no acknowledgement."""
    await _away(world, chance.sample(world.brokers, 2), seconds)


async def freeze_all(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001 - every fault's form
    """The whole cluster."""
    async with frozen(*world.brokers):
        await asyncio.sleep(seconds)


async def rolling_restart(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """One after the other, each waited for, as in an upgrade; takes as long as it takes."""
    for broker in world.brokers:
        await thoroughly(broker.stop, STOP_SECONDS)
        await world.brokers_complete(READY_SECONDS)


async def lose(world: World, chance: random.Random, seconds: float) -> None:
    """Its disk is gone; it comes back empty and fetches everything from the others."""
    broker = chance.choice(world.brokers)
    async with world.supervisor.hold(broker):
        await thoroughly(broker.end)
        await asyncio.sleep(max(FENCED_SECONDS, seconds))
        await thoroughly(broker.wipe)


async def _away(world: World, brokers: list[Broker], seconds: float) -> None:
    async with world.supervisor.hold(*brokers):
        await asyncio.gather(*(thoroughly(broker.end) for broker in brokers))
        await asyncio.sleep(seconds)


def _leader(world: World) -> Broker | None:
    """Read from what the brokers have written: clients are never told (KIP-590)."""
    states = [orjson.loads(broker.quorum_state.read_bytes()) for broker in world.brokers]
    newest = max(states, key=lambda state: int(state["leaderEpoch"]))
    return next((broker for broker in world.brokers if broker.node.number == newest["leaderId"]), None)


FAULTS = (
    Fault("broker-killed", "broker", kill),
    Fault("broker-away", "broker", away),
    Fault("broker-restarted", "broker", restart),
    Fault("broker-frozen", "broker", freeze),
    Fault("controller-away", "broker", kill_controller, with_three_brokers),
    Fault("two-brokers-away", "broker", leave_one, with_three_brokers),
    Fault("brokers-frozen", "broker", freeze_all, with_three_brokers),
    Fault("rolling-restart", "broker", rolling_restart, with_three_brokers),
    Fault("broker-lost", "broker", lose, with_three_brokers, last=True),
)
