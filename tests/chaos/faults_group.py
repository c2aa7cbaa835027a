"""A consumer group that finds no rest."""

import asyncio
import random
import signal

from tests.chaos.fault import Fault, thoroughly
from tests.chaos.world import World

EVERY_SECONDS = 3.0


async def rebalance_storm(world: World, chance: random.Random, seconds: float) -> None:
    """One more processor comes and goes, in order or killed, every few seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        while loop.time() < end:
            await thoroughly(world.visitor.start)
            await asyncio.sleep(EVERY_SECONDS * chance.uniform(0.5, 1.5))
            world.visitor.send(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            await asyncio.sleep(EVERY_SECONDS * chance.uniform(0.1, 0.5))
            await thoroughly(world.visitor.end)
    finally:
        world.visitor.send(signal.SIGKILL)


FAULTS = (Fault("rebalance-storm", "group", rebalance_storm),)
