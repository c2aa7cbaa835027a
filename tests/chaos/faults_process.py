"""Programs killed and frozen at any moment."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.chaos.fault import Fault, thoroughly
from tests.chaos.programs import SESSION_SECONDS
from tests.chaos.units import Unit
from tests.chaos.world import World

PATIENCE_SECONDS = 4.0  # how long an ingress may be silent before its clients give up
KILL_EVERY_SECONDS = (1.0, 4.0)


@asynccontextmanager
async def frozen(*units: Unit) -> AsyncIterator[None]:
    """Stopped by SIGSTOP while this is open."""
    try:
        for unit in units:
            unit.send(signal.SIGSTOP)
        yield
    finally:
        for unit in units:
            unit.send(signal.SIGCONT)


async def killed_again_and_again(units: Sequence[Unit], chance: random.Random, seconds: float) -> None:
    """SIGKILL at random moments for some seconds; the supervisor brings each back."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await thoroughly(chance.choice(units).end)
        await asyncio.sleep(chance.uniform(*KILL_EVERY_SECONDS))


async def kill_ingress(world: World, chance: random.Random, seconds: float) -> None:
    """The ingress, again and again."""
    await killed_again_and_again([world.ingress], chance, seconds)


async def kill_processor(world: World, chance: random.Random, seconds: float) -> None:
    """Any processor, again and again."""
    await killed_again_and_again(world.processors, chance, seconds)


async def kill_all(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001 - every fault's form
    """Every program at once, as when their machine reboots."""
    async with world.supervisor.hold(*world.programs):
        await asyncio.gather(*(thoroughly(program.end) for program in world.programs))
        await asyncio.sleep(seconds)


async def freeze_ingress(world: World, chance: random.Random, seconds: float) -> None:
    """For less than its clients' patience."""
    async with frozen(world.ingress):
        await asyncio.sleep(min(chance.uniform(1, PATIENCE_SECONDS), seconds))


async def freeze_processor_briefly(world: World, chance: random.Random, seconds: float) -> None:
    """The group does not notice."""
    async with frozen(chance.choice(world.processors)):
        await asyncio.sleep(min(SESSION_SECONDS * chance.uniform(0.2, 0.7), seconds))


async def freeze_processor(world: World, chance: random.Random, seconds: float) -> None:
    """Others take its partitions over; then it comes back as a zombie."""
    async with frozen(chance.choice(world.processors)):
        await asyncio.sleep(max(SESSION_SECONDS + 3, seconds))


async def freeze_processors(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Nobody is left to take over; the group is empty when they come back."""
    async with frozen(*world.processors):
        await asyncio.sleep(max(SESSION_SECONDS + 3, seconds))


FAULTS = (
    Fault("ingress-killed", "process", kill_ingress),
    Fault("processor-killed", "process", kill_processor),
    Fault("programs-killed", "process", kill_all),
    Fault("ingress-frozen", "process", freeze_ingress),
    Fault("processor-frozen-briefly", "process", freeze_processor_briefly),
    Fault("processor-frozen", "process", freeze_processor),
    Fault("processors-frozen", "process", freeze_processors),
)
