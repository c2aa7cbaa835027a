"""What can be done to the world: every fault by name. Each undoes itself; none looks at what it did to the events."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.world import World

Kind = Literal["process", "broker", "postgres", "network", "disk", "group", "clock"]


def anywhere(_world: World) -> str | None:
    """For faults that every world knows."""
    return None


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
    run: Callable[[World, random.Random, float], Awaitable[None]]
    obstacle: Callable[[World], str | None] = anywhere
    last: bool = False

    def unavailable(self, world: World) -> str | None:
        """Why it cannot be done here (no mount, one broker only, …), or None."""
        return self.obstacle(world)


FAULTS: tuple[Fault, ...] = ()
