"""What a fault is, and what all of them need."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.world import World

POLL_SECONDS = 0.05

Kind = Literal["process", "broker", "postgres", "network", "disk", "group", "clock", "topic"]
Run = Callable[[World, random.Random, float], Awaitable[None]]


def anywhere(_world: World) -> str | None:
    """For faults that every world knows."""
    return None


def with_three_brokers(world: World) -> str | None:
    """For faults that a single broker cannot have."""
    return None if len(world.brokers) >= 3 else "needs three brokers"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break the world.

    Attributes:
        run: injects, holds for about that many seconds, undoes itself on every way out (also when cancelled), returns.
            What it broke may still be recovering then: `World.heal` waits for that.
        obstacle: why it cannot be done in this world, or None.
        last: leaves the world changed for good (a broker that lost its disk): at most once in a run, as its last fault.
    """

    name: str
    kind: Kind
    run: Run
    obstacle: Callable[[World], str | None] = anywhere
    last: bool = False

    def unavailable(self, world: World) -> str | None:
        """Why it cannot be done here (no mount, one broker only, …), or None."""
        return self.obstacle(world)


async def thoroughly(work: Callable[..., object], *arguments: object) -> None:
    """Blocking work in a thread, to its end even when cancelled: what comes after must not meet it half done."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await working
        raise


async def within(seconds: float, happened: Callable[[], bool]) -> bool:
    """Wait until it has happened, at most so long; whether it has."""
    end = time.monotonic() + seconds
    while not (done := happened()) and time.monotonic() < end:  # noqa: ASYNC110 - looks at processes, which tell nobody
        await asyncio.sleep(POLL_SECONDS)
    return done
