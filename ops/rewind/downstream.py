"""Moves the offsets of a group downstream: a plain commit, while nobody is in the group."""

import shlex
import sys

from ops.kit.errors import UnsafeError
from ops.kit.operator import who
from ops.rewind import audit
from ops.rewind.offsets_kafka import commit_plainly
from ops.rewind.plan import Plan, changed
from ops.rewind.prepare import World, targets
from ops.rewind.request import Done, Request, stale


async def execute_plainly(world: World, plan: Plan, request: Request) -> Done:
    """Move the offsets of a group downstream; its consumers must have been stopped.

    Raises:
        UnsafeError: somebody is in the group.
        StaleError: a target is another one by now.
    """
    found = await world.group.state()
    if not found.empty:
        raise UnsafeError(
            f"group {plan.group} is active ({found.state}): {found.names}; stop its consumers, then try again"
        )
    fresh = await targets(world, request.goal)
    different = changed(plan.moves, fresh)
    if different:
        raise stale(different)
    rewind_id = None
    if world.state is not None:
        rewind_id = await audit.begin(world.state, plan, who=who(), arguments=shlex.join(sys.argv[1:]))
    await commit_plainly(world.place, plan.targets)
    if world.state is not None and rewind_id is not None:
        await audit.moved(world.state, rewind_id)
    return Done(rewind_id, plan)
