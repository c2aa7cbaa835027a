"""The pause that a rewind asks of the processors: a lease that ends by itself when nobody renews it."""

import asyncio
import uuid
from dataclasses import dataclass

import psycopg

from ops.database import database_errors
from ops.errors import OpsError, UnsafeError
from processors.gate import CHANNEL

# Taken only when nobody else has it: the pause is also what keeps two rewinds of a group apart.
TAKE = """
INSERT INTO pause AS p (group_name, until, reason)
VALUES (%(group)s, now() + make_interval(secs => %(seconds)s), %(reason)s)
ON CONFLICT (group_name) DO UPDATE SET until = EXCLUDED.until, reason = EXCLUDED.reason WHERE p.until < now()
RETURNING true
"""
RENEW = """
UPDATE pause SET until = GREATEST(until, now() + make_interval(secs => %(seconds)s))
WHERE group_name = %(group)s AND reason = %(reason)s AND until > now() RETURNING true
"""
HOLDER = "SELECT reason FROM pause WHERE group_name = %(group)s AND until > now()"
RELEASE = "DELETE FROM pause WHERE group_name = %(group)s AND reason = %(reason)s"


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


class Lease:
    """One pause of one group, ours by its reason."""

    def __init__(self, connection: psycopg.AsyncConnection, group: str, who: str, timing: Timing) -> None:
        self._connection = connection
        self._reason = f"rewind by {who} ({uuid.uuid4().hex[:8]})"
        self._group = group
        self._timing = timing
        self._lost: OpsError | None = None

    async def take(self) -> None:
        """Pause the group.

        Raises:
            UnsafeError: somebody else has paused it.
        """
        if not await self._execute(TAKE, self._timing.lease):
            holder = await self._execute(HOLDER)
            reason = holder[0][0] if holder else "the other has just ended"
            raise UnsafeError(f"group {self._group} is paused already: {reason}; try again when that is over")
        await self._notify()

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
        await self._execute(RELEASE)
        await self._notify()

    async def _notify(self) -> None:
        with database_errors():
            await self._connection.execute(f"NOTIFY {CHANNEL}")

    async def _execute(self, query: str, seconds: float = 0.0) -> list[tuple[object, ...]]:
        with database_errors():
            cursor = await self._connection.execute(
                query.encode(), {"group": self._group, "reason": self._reason, "seconds": seconds}
            )
            return await cursor.fetchall() if cursor.description else []
