"""Which faults when: drawn from the seed alone, so that a seed names a schedule. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

QUIET_SECONDS = (1.0, 6.0)
FAULT_SECONDS = (3.0, 12.0)
TOGETHER = 0.25  # of the phases have two faults at once


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: `after` seconds into its phase, held for `seconds`; `seed` is for the choices it makes itself."""

    fault: str
    after: float
    seconds: float
    seed: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A quiet time, then faults, side by side."""

    quiet: float
    steps: tuple[Step, ...]


def phases(names: Sequence[str], seed: int) -> Iterator[Phase]:
    """Phases without end: rounds of all faults, each round in an order of its own, so that all are used alike."""
    chance = random.Random(f"schedule {seed}")
    number = 0
    while names:
        waiting = chance.sample(names, len(names))
        while waiting:
            together = waiting[:2] if chance.random() < TOGETHER else waiting[:1]
            waiting = waiting[len(together) :]
            yield _phase(chance, together, f"fault {seed} {number}")
            number += 1


def each_once(names: Sequence[str], seed: int, *, quiet: float, seconds: float) -> list[Phase]:
    """The named faults one after another, in this order."""
    return [Phase(quiet, (Step(name, 0.0, seconds, f"fault {seed} {number}"),)) for number, name in enumerate(names)]


def _phase(chance: random.Random, names: Sequence[str], seed: str) -> Phase:
    quiet = chance.uniform(*QUIET_SECONDS)
    steps = [Step(name, 0.0, chance.uniform(*FAULT_SECONDS), f"{seed} {name}") for name in names]
    if len(steps) == 1:
        return Phase(quiet, tuple(steps))
    first, second = steps
    return Phase(quiet, (first, Step(second.fault, chance.uniform(0, first.seconds), second.seconds, second.seed)))
