"""A processor that is killed, or frozen for longer than its session, at a named point of its cycle."""

import asyncio
import functools
import random
import signal

from tests.chaos.fault import Fault, Run, within
from tests.chaos.programs import SESSION_SECONDS
from tests.chaos.units import Incarnation, Program
from tests.chaos.world import World
from tests.support.faulty_processor import POINTS

MODULE = "tests.support.faulty_processor"
REPLACED_SECONDS = 20.0  # until the faulty incarnation runs
REACHED_SECONDS = 30.0  # from its start until it joined, took over and came to the point
ZOMBIE_SECONDS = 3.0  # to do harm after it has come back


async def fault_at(point: str, number: signal.Signals, world: World, chance: random.Random, seconds: float) -> None:
    """One processor's next incarnation has the fault built in; the one after that is the usual program again."""
    program = chance.choice(world.processors)
    at = chance.randint(1, 3 if point in {"revoked", "initialized"} else 20)
    try:
        await _replace(program, point, number, 1 if point == "revoked" else at)
        if point == "revoked":
            await _rebalance(world, program)
        if not await within(REACHED_SECONDS, lambda: program.pid is None or program.frozen):
            world.note(f"{program.name} did not come to {point} for the {at}. time")
        elif number is signal.SIGSTOP:
            await asyncio.sleep(max(SESSION_SECONDS + 3, seconds))
            program.send(signal.SIGCONT)
            await asyncio.sleep(ZOMBIE_SECONDS)
    finally:
        program.next = None
        program.send(signal.SIGCONT)
        if not program.plain:
            program.send(signal.SIGTERM)


async def _replace(program: Program, point: str, number: signal.Signals, at: int) -> None:
    name = number.name.removeprefix("SIG")
    env = {"FAULT_POINT": point, "FAULT_SIGNAL": name, "FAULT_AT": str(at)}
    program.next = Incarnation((MODULE,), env)
    program.send(signal.SIGTERM)
    await within(REPLACED_SECONDS, lambda: program.pid is not None and not program.plain)
    program.next = None


async def _rebalance(world: World, program: Program) -> None:
    """Once it is a member, another one's coming and going takes partitions away from it."""
    await within(REACHED_SECONDS, lambda: "partitions.assigned" in program.log.read_text(encoding="utf-8"))
    for other in world.processors:
        if other is not program:
            other.send(signal.SIGTERM)


def _faults(point: str) -> tuple[Fault, Fault]:
    kill: Run = functools.partial(fault_at, point, signal.SIGKILL)
    stop: Run = functools.partial(fault_at, point, signal.SIGSTOP)
    return Fault(f"processor-killed-at-{point}", "process", kill), Fault(
        f"processor-frozen-at-{point}", "process", stop
    )


FAULTS = tuple(fault for point in POINTS for fault in _faults(point))
