"""Carries a plan out. Each step leaves the group, should the tool die there, with either all old or all new offsets."""

import asyncio
import shlex
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any, TypeVar

from aiokafka import TopicPartition

from ops.kit.errors import OpsError, UnsafeError
from ops.kit.kafka import kafka_errors
from ops.kit.operator import who
from ops.kit.pause import Lease, paused
from ops.rewind import audit
from ops.rewind.offsets_kafka import commit_together, committed, take_over
from ops.rewind.plan import Plan, changed
from ops.rewind.prepare import World, targets
from ops.rewind.read import scope
from ops.rewind.request import Done, Request, refuse, stale
from ops.rewind.scope import Place

TRIES = 3  # commits that a zombie may spoil; see `Execution.move`

Answer = TypeVar("Answer")


class Execution:
    """One rewind of the processors' group. `run` goes through the steps; each is a method of its own."""

    def __init__(self, world: World, plan: Plan, request: Request, say: Callable[[str], None]) -> None:
        assert world.state is not None
        self._world = world
        self._state = world.state
        self._place = world.place
        self._plan = plan
        self._request = request
        self._say = say
        self._lease = Lease(lambda: nullcontext(self._state), plan.group, f"rewind by {who()}", request.timing)
        self._all: list[TopicPartition] = []

    async def run(self) -> Done:
        """Pause, wait, take over, verify, note, move, and let the processors go on.

        Raises:
            StaleError: a target is another one by now; nothing was touched.
            UnsafeError: the group did not get empty, or somebody else has paused it; nothing was touched.
            OpsError: a server is away. The message says what is known of the offsets.
        """
        async with paused(self._lease, self._world.group, self._request.timeout, self._say):
            await self.take_over()
            await self.verify()
            rewind_id = await self.note()
            # Not to be broken off by Ctrl-C: it takes a moment, and its result must be known.
            return await unbroken(self._conclude(rewind_id))

    async def _conclude(self, rewind_id: int) -> Done:
        try:
            with kafka_errors(self._place.settings):
                await self.move()
            await self.finish(rewind_id)
        except OpsError as error:
            # The lease is left to end by itself: until then nobody can commit over what is still under way.
            raise type(error)(
                f"{error}; rewind {rewind_id} may be done or not, `ringover-ops rewind log` tells; "
                f"the processors go on within {self._request.timing.commit:g} s"
            ) from error
        return Done(rewind_id, self._plan)

    async def take_over(self) -> None:
        """Make every process powerless that still thinks a partition is its own."""
        self._lease.check()
        self._all = await scope(self._world.admin, Place(self._place.settings, self._place.group, self._place.topic))
        await take_over(self._place, self._all)

    async def verify(self) -> None:
        """Compute the targets again, now that nothing moves: they must be those that were shown."""
        fresh = await targets(self._world, self._request.goal, fenced=True)
        different = changed(self._plan.moves, fresh)
        if different:
            raise stale(different)
        shown = self._plan
        self._plan = Plan(shown.group, shown.topic, shown.goal, fresh, shown.forecast, shown.rate)
        refuse(self._plan, self._request, self._place)
        self._lease.check()

    async def note(self) -> int:
        """Write the audit's row, before anything moves."""
        return await audit.begin(self._state, self._plan, who=who(), arguments=shlex.join(sys.argv[1:]))

    async def move(self) -> None:
        """Commit all targets at once, and make sure that they stay.

        A zombie that has just come back may take its partition over between our takeover and our commit, and commit
        over it. So: take over once more, look, and commit again if need be.

        Raises:
            OpsError: the last try failed.
        """
        failure: OpsError = UnsafeError(f"another process committed over the new offsets {TRIES} times")
        for _ in range(TRIES):
            await self._lease.renew_for_commit()
            try:
                await self.commit()
            except OpsError as error:
                failure = error  # whether it was done shows now
            await take_over(self._place, self._all)
            now = await committed(self._place, self._world.group, self._world.partitions, fenced=True)
            if all(now[partition] == offset for partition, offset in self._plan.targets.items()):
                return
        raise failure

    async def commit(self) -> None:
        """One transaction."""
        await commit_together(self._place, self._plan.targets)

    async def finish(self, rewind_id: int) -> None:
        """Note that it is done, and let the processors go on."""
        await audit.moved(self._state, rewind_id)
        await self._lease.release()


async def unbroken(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Finish `work` even if we are cancelled meanwhile; the cancellation comes after."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except OpsError:
            break
    if cancelled is not None and task.exception() is None:
        raise cancelled
    return task.result()
