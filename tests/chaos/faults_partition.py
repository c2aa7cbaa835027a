"""One partition whose pipeline raises what nobody expects, on whichever processor it is; the others must go on."""

import asyncio
import random
import signal

from tests.chaos.fault import Fault, within
from tests.chaos.units import Incarnation
from tests.chaos.world import World

MODULE = "tests.support.failing_processor"
STEPS = ("record", "claim")
REPLACED_SECONDS = 20.0  # until every processor is one that can fail
REACHED_SECONDS = 30.0  # from then until one of them has failed


async def partition_raises(world: World, chance: random.Random, seconds: float) -> None:
    """Every record of the partition raises for so long; the processors stay, and go on by themselves."""
    number, step = chance.randrange(world.config.partitions), chance.choice(STEPS)
    file = world.config.directory / "failing-partition"
    env = {"FAILING_PARTITION": str(number), "FAILING_STEP": step, "FAILING_FILE": str(file)}
    file.touch()
    try:
        for program in world.processors:
            program.next = Incarnation((MODULE,), env)
            program.send(signal.SIGTERM)
        await within(REPLACED_SECONDS, lambda: not any(program.plain for program in world.processors))
        for program in world.processors:
            program.next = None
        if not await within(REACHED_SECONDS, lambda: _stands_still(world)):
            world.note(f"partition {number} did not come to fail")
        await asyncio.sleep(seconds)
        file.unlink()
        await asyncio.sleep(seconds)  # the same processes go on with it
    finally:
        file.unlink(missing_ok=True)
        for program in world.processors:
            program.next = None
            if not program.plain:
                program.send(signal.SIGTERM)


def _stands_still(world: World) -> bool:
    logs = (program.log.read_text(encoding="utf-8") for program in world.processors)
    return any("partition.stands_still" in log for log in logs)


FAULTS = (Fault("partition-raises", "process", partition_raises),)
