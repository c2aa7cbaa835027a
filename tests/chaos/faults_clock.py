"""Programs whose wall clock jumps by an hour, forth or back, while they run. What is covered: tests.chaos.skewed."""

import asyncio
import random
import signal
from pathlib import Path

from tests.chaos.fault import Fault, within
from tests.chaos.skewed import VARIABLE
from tests.chaos.units import Incarnation, Program
from tests.chaos.world import World

MODULE = "tests.chaos.skewed"
STEP_SECONDS = 3600
REPLACED_SECONDS = 20.0
SETTLE_SECONDS = 5.0  # until it works again after the restart


async def step_ingress(world: World, chance: random.Random, seconds: float) -> None:
    """The ingress's clock."""
    await _step(world, world.ingress, chance, seconds)


async def step_processor(world: World, chance: random.Random, seconds: float) -> None:
    """One processor's clock."""
    await _step(world, chance.choice(world.processors), chance, seconds)


async def _step(world: World, program: Program, chance: random.Random, seconds: float) -> None:
    """Right at first, then an hour off, then right again; the usual program afterwards."""
    file = world.logs / f"{program.name}-clock"
    _set(file, 0)
    program.next = Incarnation((MODULE, *program.plain_words), {VARIABLE: str(file)})
    try:
        program.send(signal.SIGTERM)
        await within(REPLACED_SECONDS, lambda: program.pid is not None and not program.plain)
        await asyncio.sleep(SETTLE_SECONDS)
        _set(file, chance.choice([STEP_SECONDS, -STEP_SECONDS]))
        await asyncio.sleep(seconds)
        _set(file, 0)
        await asyncio.sleep(1)
    finally:
        program.next = None
        if not program.plain:
            program.send(signal.SIGTERM)


def _set(file: Path, seconds: int) -> None:
    new = file.with_suffix(".new")
    new.write_text(str(seconds), encoding="ascii")
    new.replace(file)


FAULTS = (
    Fault("ingress-clock-steps", "clock", step_ingress),
    Fault("processor-clock-steps", "clock", step_processor),
)
