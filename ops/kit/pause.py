"""Pauses the processors of a group while a command works without them: by a lease, until nobody is in the group.

The lease ends by itself when nobody renews it, so a command that died stops no processor for long. The processors' side
is `processors.pause`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import psycopg

from ops.kit.claims import rows_changed
from ops.kit.errors import OpsError, UnsafeError
from ops.kit.groups import Group
from ops.kit.postgres import database_errors
from processors.pause import CHANNEL
from processors.postgres_state import QUERIES

EMPTY_SECONDS = 60.0  # processors finish their transactions first
LOOK_SECONDS = 0.2
SAY_EVERY_SECONDS = 5.0

Connect = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """Sets how long (seconds) the lease is, how often it is renewed, and how long it is when offsets are committed.

    The last one outlives the tool's transaction: 5 s, and at most 10 s more until the broker ends it
    (transaction.abort.timed.out.transaction.cleanup.interval.ms). So no tool that froze in the middle of its commit
    can end it after processors have gone on.
    """

    lease: float = 15.0
    renew_every: float = 5.0
    commit: float = 30.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Tells who has paused a group, and for how long yet if it is not renewed."""

    reason: str
    seconds_left: float


async def holder_of(connection: psycopg.AsyncConnection, group: str) -> Holder | None:
    """The pause that the processors keep now, as they see it."""
    with database_errors(connection):
        row = await (await connection.execute(QUERIES["pause"], {"group": group})).fetchone()
    return None if row is None else Holder(reason=row[1], seconds_left=row[0])


class Lease:
    """Keeps a pause of a group, ours by its reason; `connect` is asked for a connection at each step.

    `again`: take it again should it run out, for work that is safe beside processors and merely wants to be alone.
    """

    def __init__(self, connect: Connect, group: str, why: str, timing: Timing, *, again: bool = False) -> None:
        self._connect = connect
        self._reason = f"{why} ({uuid.uuid4().hex[:8]})"
        self._group = group
        self._timing = timing
        self._again = again
        self._lost: OpsError | None = None
        self.committing = False

    async def take(self) -> None:
        """Pause the group; ours already, or ours until it ran out, it is ours again.

        Raises:
            UnsafeError: somebody else has paused it.
        """
        if not await self._execute("take_pause", self._timing.lease, notify=True):
            async with self._connect() as connection:
                holder = await holder_of(connection, self._group)
            who = f"{holder.reason} ({holder.seconds_left:.0f} s left)" if holder else "the other has just ended"
            raise UnsafeError(f"group {self._group} is paused already: {who}; try again when that is over")

    async def renew(self, seconds: float | None = None) -> None:
        """Pause for at least `seconds` more.

        Raises:
            UnsafeError: the lease had run out.
        """
        if not await self._execute("renew_pause", seconds or self._timing.lease):
            raise UnsafeError("the pause ran out in the meantime (was this tool suspended?): processors work again")

    async def renew_for_commit(self) -> None:
        """Pause for longer than the commit can be undecided; raises as `renew`."""
        self.committing = True
        await self.renew(self._timing.commit)

    async def keep(self, say: Say) -> None:
        """Renew until cancelled; `check` tells when that failed."""
        while self._lost is None:
            await asyncio.sleep(self._timing.renew_every)
            try:
                await (self._retake(say) if self._again else self.renew())
            except OpsError as error:
                self._lost = error

    async def _retake(self, say: Say) -> None:
        """Raises UnsafeError: someone else has it now; all else is tried again."""
        try:
            async with asyncio.timeout(self._timing.renew_every):
                await self.take()
        except UnsafeError:
            say("warning: someone else has taken the pause over")
            raise
        except (OpsError, TimeoutError) as error:
            say(f"warning: the pause could not be renewed ({error}); processors may come back")

    def check(self) -> None:
        """Raises OpsError: the lease could not be renewed."""
        if self._lost is not None:
            raise self._lost

    async def wait_until_empty(self, group: Group, seconds: float, say: Say) -> None:
        """Wait until nobody is in the group, and say who still is.

        Raises:
            UnsafeError: somebody still is after so many seconds.
        """
        loop = asyncio.get_running_loop()
        deadline, say_at = loop.time() + seconds, loop.time() + 1.0
        while not (found := await group.state()).empty:
            self.check()
            left = found.names or f"state {found.state}"
            if loop.time() > say_at:
                say(f"waiting for {left}")
                say_at = loop.time() + SAY_EVERY_SECONDS
            if loop.time() > deadline:
                raise UnsafeError(
                    f"after {seconds:g} s group {group.name} is not empty: {left}; nothing was touched, the processors "
                    "go on"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def release(self) -> None:
        """Let the processors go on."""
        await self._execute("release_pause", notify=True)

    async def _execute(self, statement: str, seconds: float = 0.0, *, notify: bool = False) -> bool:
        """Whether it did anything; with `notify` the processors look at once."""
        async with self._connect() as connection:
            with database_errors(connection):
                done = await rows_changed(
                    connection, statement, group=self._group, reason=self._reason, seconds=seconds
                )
                if notify:
                    await connection.execute(f"NOTIFY {CHANNEL}")
        return done > 0


@asynccontextmanager
async def paused(lease: Lease, group: Group, seconds: float, say: Say) -> AsyncIterator[None]:
    """Keeps everybody out of the group while the body runs; afterwards the processors go on.

    A body that has begun to commit (`Lease.renew_for_commit`) releases the lease itself once it knows how that ended;
    if it never does, the lease ends by itself.

    Raises:
        UnsafeError: somebody else has paused the group, or it did not become empty in so many seconds.
    """
    await lease.take()
    keeping = asyncio.create_task(lease.keep(say))
    try:
        await lease.wait_until_empty(group, seconds, say)
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if not lease.committing:
            with suppress(OpsError):  # it ends by itself
                await lease.release()
