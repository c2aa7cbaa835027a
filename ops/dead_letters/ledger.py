"""Keeps the ledger of replays in PostgreSQL (table `replay`): a dead letter is sent at most once, whatever crashes.

A row is written before its record is sent and gets the record's offset afterwards. A row without one is unsettled:
the record may or may not be in the raw log, and `ops.dead_letters.run` looks there before anything else is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from ops.dead_letters.model import LetterId
from ops.dead_letters.plan import ReplayKind, ReplayRecord
from ops.kit.claims import log_number, owners_of
from ops.kit.errors import UnsafeError
from ops.kit.operator import who
from schemas.identity import ClaimKey

LOCK_CLASS = 0x444C  # "DL"; the second number of the lock is a hash of the topic
CLAIMS_AT_ONCE = 10_000

_LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
_ALL = """
SELECT partition, dead_letter_offset, raw_partition, raw_end, raw_offset, who, begun_at,
       extract(epoch FROM now() - begun_at)::float8
FROM replay WHERE topic = %s
"""
_BEGIN = """
INSERT INTO replay (topic, partition, dead_letter_offset, raw_partition, raw_end, who)
SELECT %(topic)s, r.*, %(who)s
FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(raw_partitions)s::int[], %(raw_ends)s::bigint[]) AS r
ON CONFLICT DO NOTHING
RETURNING partition, dead_letter_offset
"""
_NOTE = """
UPDATE replay SET raw_offset = r.raw_offset
FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(raw_offsets)s::bigint[])
     AS r (partition, dead_letter_offset, raw_offset)
WHERE replay.topic = %(topic)s AND replay.partition = r.partition
  AND replay.dead_letter_offset = r.dead_letter_offset AND replay.raw_offset IS NULL
"""
_RELEASE = """
DELETE FROM replay USING unnest(%(partitions)s::int[], %(offsets)s::bigint[]) AS r (partition, dead_letter_offset)
WHERE replay.topic = %(topic)s AND replay.partition = r.partition
  AND replay.dead_letter_offset = r.dead_letter_offset AND replay.raw_offset IS NULL
"""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Holds one row; `raw_offset` is None while it is unsettled, `age_seconds` is by the database's clock."""

    letter_id: LetterId
    raw_partition: int
    raw_end: int
    raw_offset: int | None
    who: str
    begun_at: datetime
    age_seconds: float

    @property
    def kind(self) -> ReplayKind:
        return ReplayKind.IMPORT if self.who.endswith(f" {ReplayKind.IMPORT}") else ReplayKind.REPLAY


class ReplayLedger:
    """Reads and writes the rows of one dead-letter topic."""

    def __init__(self, connection: psycopg.AsyncConnection, topic: str) -> None:
        self._connection = connection
        self._topic = topic

    async def lock(self) -> None:
        """Lock the topic against other tools that send, until the connection ends.

        Raises:
            UnsafeError: another tool is sending.
        """
        cursor = await self._connection.execute(_LOCK, [LOCK_CLASS, self._topic])
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise UnsafeError(f"another replay or import of {self._topic} is running; wait until it has ended")

    async def entries(self) -> dict[LetterId, LedgerEntry]:
        """Read everything that was sent, or begun."""
        cursor = await self._connection.execute(_ALL, [self._topic])
        return {
            LetterId(partition, offset): LedgerEntry(LetterId(partition, offset), *rest)
            for partition, offset, *rest in await cursor.fetchall()
        }

    async def begin(
        self, records: Sequence[ReplayRecord], raw_ends: Mapping[int, int], kind: ReplayKind
    ) -> set[LetterId]:
        """Note what is about to be sent; return those that nobody noted before: only they may be sent."""
        parameters = {
            **self._ids([record.letter_id for record in records]),
            "raw_partitions": [record.partition for record in records],
            "raw_ends": [raw_ends[record.partition] for record in records],
            "who": signed(kind),
        }
        cursor = await self._connection.execute(_BEGIN, parameters)
        return {LetterId(partition, offset) for partition, offset in await cursor.fetchall()}

    async def note(self, places: Mapping[LetterId, int]) -> None:
        """Note the offsets in the raw log of what was sent."""
        await self._connection.execute(_NOTE, {**self._ids(list(places)), "raw_offsets": list(places.values())})

    async def release(self, letter_ids: Sequence[LetterId]) -> None:
        """Forget unsettled rows of which nothing was sent."""
        await self._connection.execute(_RELEASE, self._ids(letter_ids))

    async def owned(self, log_name: str, keys: Sequence[ClaimKey]) -> set[ClaimKey]:
        """Return those of `keys` that a record of the raw log owns."""
        log_id = await log_number(self._connection, log_name)
        chunks = (keys[start : start + CLAIMS_AT_ONCE] for start in range(0, len(keys), CLAIMS_AT_ONCE))
        return {key for chunk in chunks for key in await owners_of(self._connection, log_id, chunk)}

    def _ids(self, letter_ids: Sequence[LetterId]) -> dict[str, object]:
        return {
            "topic": self._topic,
            "partitions": [letter_id.partition for letter_id in letter_ids],
            "offsets": [letter_id.offset for letter_id in letter_ids],
        }


def signed(kind: ReplayKind) -> str:
    """Return who runs this and how, for the column `who`."""
    return f"{who()} {kind}"
