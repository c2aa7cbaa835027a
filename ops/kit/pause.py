"""The pause that an operators' tool asks of the processors: a lease that ends by itself when nobody renews it.

`processors.pause` keeps the processors' side.
"""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import psycopg

from ops.kit.errors import OpsError, UnsafeError
from ops.kit.postgres import database_errors
from processors.pause import CHANNEL
from processors.postgres_state import QUERIES

# Taken only when nobody else has it: the pause is also what keeps two tools apart that work on one group.
TAKE = """
INSERT INTO pause AS p (group_name, until, reason)
VALUES (%(group)s, now() + make_interval(secs => %(seconds)s), %(reason)s)
ON CONFLICT (group_name) DO UPDATE SET until = GREATEST(p.until, EXCLUDED.until), reason = EXCLUDED.reason
WHERE p.until <= now() OR p.reason = EXCLUDED.reason
RETURNING true
"""
RENEW = """
UPDATE pause SET until = GREATEST(until, now() + make_interval(secs => %(seconds)s))
WHERE group_name = %(group)s AND reason = %(reason)s AND until > now() RETURNING true
"""
RELEASE = "DELETE FROM pause WHERE group_name = %(group)s AND reason = %(reason)s"

Connect = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long the lease is and how often it is renewed, and how long it must be when offsets are committed.

    The last one outlives the tool's transaction: 5 s, and at most 10 s more until the broker ends it
    (transaction.abort.timed.out.transaction.cleanup.interval.ms). So no tool that froze in the middle of its commit
    can end it after processors have gone on.
    """

    lease: float = 15.0
    renew_every: float = 5.0
    commit: float = 30.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has paused a group, and for how long yet if it is not renewed."""

    reason: str
    seconds_left: float


async def holder_of(connection: psycopg.AsyncConnection, group: str) -> Holder | None:
    """The pause that the processors keep now, as they see it."""
    with database_errors(connection):
        row = await (await connection.execute(QUERIES["pause"], {"group": group})).fetchone()
    return None if row is None else Holder(reason=row[1], seconds_left=row[0])


class Lease:
    """One pause of one group, ours by its reason; `connect` is asked for a connection at each step."""

    def __init__(self, connect: Connect, group: str, why: str, timing: Timing) -> None:
        self._connect = connect
        self._reason = f"{why} ({uuid.uuid4().hex[:8]})"
        self._group = group
        self._timing = timing
        self._lost: OpsError | None = None

    async def take(self) -> None:
        """Pause the group; ours already, or ours until it ran out, it is ours again.

        Raises:
            UnsafeError: somebody else has paused it.
        """
        if not await self._execute(TAKE, self._timing.lease, notify=True):
            async with self._connect() as connection:
                holder = await holder_of(connection, self._group)
            who = f"{holder.reason} ({holder.seconds_left:.0f} s left)" if holder else "the other has just ended"
            raise UnsafeError(f"group {self._group} is paused already: {who}; try again when that is over")

    async def renew(self, seconds: float | None = None) -> None:
        """Pause for at least `seconds` more.

        Raises:
            UnsafeError: the lease had run out.
        """
        if not await self._execute(RENEW, seconds or self._timing.lease):
            raise UnsafeError("the pause ran out in the meantime (was this tool suspended?): processors work again")

    async def renew_for_commit(self) -> None:
        """Pause for longer than the commit can be undecided; raises as `renew`."""
        await self.renew(self._timing.commit)

    async def keep(self) -> None:
        """Renew until cancelled; `check` tells when that failed."""
        try:
            while True:
                await asyncio.sleep(self._timing.renew_every)
                await self.renew()
        except OpsError as error:
            self._lost = error

    def check(self) -> None:
        """Raises OpsError: the lease could not be renewed."""
        if self._lost is not None:
            raise self._lost

    async def release(self) -> None:
        """Let the processors go on."""
        await self._execute(RELEASE, notify=True)

    async def _execute(self, statement: str, seconds: float = 0.0, *, notify: bool = False) -> bool:
        """Whether it did anything; with `notify` the processors look at once."""
        parameters = {"group": self._group, "reason": self._reason, "seconds": seconds}
        async with self._connect() as connection:
            with database_errors(connection):
                done = (await connection.execute(statement.encode(), parameters)).rowcount > 0
                if notify:
                    await connection.execute(f"NOTIFY {CHANNEL}")
        return done
