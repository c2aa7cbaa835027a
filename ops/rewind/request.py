"""What was asked for, what came of it, and when it must be refused."""

from dataclasses import dataclass, field

from ops.kit.errors import StaleError
from ops.kit.pause import Timing
from ops.rewind.plan import Plan, refuse_skipping
from ops.rewind.scope import Place
from ops.rewind.target import Goal, ToTargets


@dataclass(frozen=True, slots=True)
class Request:
    """How to execute."""

    goal: Goal
    skip_unprocessed: bool = False
    timeout: float = 60.0
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Done:
    """The offsets are moved; `rewind_id` is None where nothing is audited."""

    rewind_id: int | None
    plan: Plan


def refuse(plan: Plan, request: Request, place: Place) -> None:
    """Raises UnsafeError: the plan would lose events, and nobody has said that this is wanted."""
    if place.ours and not request.skip_unprocessed:
        refuse_skipping(plan)


def stale(partitions: list[int]) -> StaleError:
    """The error of a plan that does not hold any more."""
    where = ", ".join(str(partition) for partition in partitions)
    return StaleError(f"the plan is stale: the target in partition {where} is another one now; nothing was touched")


def refuse_unkept(goal: Goal, plan: Plan) -> None:
    """Raises StaleError: a plan from a file names records that retention has removed since."""
    gone = [move.partition for move in plan.moves if isinstance(goal, ToTargets) and move.expired]
    if gone:
        raise stale(gone)
