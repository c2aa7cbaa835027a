"""Moves the offsets. Each step leaves the group, should the tool die there, with either all old or all new offsets."""

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from aiokafka import TopicPartition

from ops.kit.errors import OpsError, UnsafeError
from ops.kit.kafka import kafka_errors
from ops.kit.operator import who
from ops.kit.pause import Lease, Say, Timing, paused
from ops.rewind import audit
from ops.rewind.offsets import commit_together, committed, take_over
from ops.rewind.plan import PartitionMove, RewindPlan, refuse_changed, refuse_skipping
from ops.rewind.read import RewindSession, partitions_in, read_moves
from ops.rewind.target import Target

TIMING = Timing()
TRIES = 3  # commits that a zombie may spoil; see `Execution.move`

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class RewindRequest:
    """Says where to go, and how: `timeout` seconds are waited for the processors to let go."""

    target: Target
    skip_unprocessed: bool = False
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Rewound:
    """Tells what was moved, from the offsets that the moment showed; `rewind_id` is None where nothing is audited."""

    also_in_json: ClassVar = ("records",)

    rewind_id: int | None
    partitions: tuple[PartitionMove, ...]

    @property
    def records(self) -> int:
        """Records that are read again."""
        return sum(move.records for move in self.partitions)


class Execution:
    """Rewinds the processors' group. `run` goes through the steps; each is a method of its own."""

    def __init__(self, session: RewindSession, plan: RewindPlan, request: RewindRequest, say: Say) -> None:
        assert session.state is not None
        self._session = session
        self._state = session.state
        self._scope = session.scope
        self._plan = plan
        self._request = request
        self._say = say
        self._lease = Lease(lambda: nullcontext(self._state), plan.group, f"rewind by {who()}", TIMING)
        self._all: list[TopicPartition] = []

    async def run(self) -> Rewound:
        """Pause, wait, take over, verify, note, move, and let the processors go on.

        Raises:
            StaleError: a target is another one by now; nothing was touched.
            UnsafeError: the group did not get empty, or somebody else has paused it; nothing was touched.
            OpsError: a server is away. The message says what is known of the offsets.
        """
        async with paused(self._lease, self._session.group, self._request.timeout, self._say):
            await self.take_over()
            await self.verify()
            rewind_id = await self.note()
            # Not to be broken off by Ctrl-C: it takes a moment, and its result must be known.
            return await unbroken(self._conclude(rewind_id))

    async def _conclude(self, rewind_id: int) -> Rewound:
        try:
            with kafka_errors(self._scope.settings):
                await self.move()
            await self.finish(rewind_id)
        except OpsError as error:
            # The lease is left to end by itself: until then nobody can commit over what is still under way.
            raise type(error)(
                f"{error}; rewind {rewind_id} may be done or not, `ringover-ops rewind log` tells; "
                f"the processors go on within {TIMING.commit:g} s"
            ) from error
        return Rewound(rewind_id, self._plan.partitions)

    async def take_over(self) -> None:
        """Make every process powerless that still thinks a partition is its own."""
        self._lease.check()
        self._all = await partitions_in(self._session.admin, replace(self._scope, partitions=None))
        await take_over(self._scope, self._all)

    async def verify(self) -> None:
        """Compute the targets again, now that nothing moves: they must be those that were shown."""
        fresh = await read_moves(self._session, self._request.target, fenced=True)
        refuse_changed(self._plan.partitions, fresh)
        times = {move.partition: move.target_time for move in self._plan.partitions}
        moves = (replace(move, target_time=times[move.partition]) for move in fresh)
        self._plan = replace(self._plan, partitions=tuple(moves))
        if not self._request.skip_unprocessed:
            refuse_skipping(self._plan)
        self._lease.check()

    async def note(self) -> int:
        """Write the audit's row, before anything moves."""
        return await audit.begin(self._state, self._plan)

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
            await take_over(self._scope, self._all)
            now = await committed(self._scope, self._session.group, self._session.partitions, fenced=True)
            if all(now[partition] == offset for partition, offset in self._plan.targets.items()):
                return
        raise failure

    async def commit(self) -> None:
        await commit_together(self._scope, self._plan.targets)

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
