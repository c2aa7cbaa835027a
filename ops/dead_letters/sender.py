"""Sends dead letters to the raw topic, each exactly once, whatever crashes on the way.

Per chunk: note in the book what is about to be sent -> send -> note where it is. A run that ends in between leaves
unsettled rows. The next run settles them before it does anything else: it looks for their markers in the raw log.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ops.dead_letters.ledger import Book, Entry, Kind
from ops.dead_letters.model import LetterId
from ops.dead_letters.plan import Outgoing
from ops.dead_letters.raw import RawTopic

CHUNK_RECORDS = 500
# How old a row must be before an absent record counts as never sent: the dead run's last request may still be on its
# way, or not yet on every replica and so invisible.
SETTLE_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a look into the raw log showed: rows whose record is there, and rows whose record was never sent."""

    found: Mapping[LetterId, int]
    missing: tuple[Entry, ...]


class Courier:
    """One run; the book's lock must be held."""

    def __init__(self, book: Book, raw: RawTopic, dead_letter_topic: str) -> None:
        self._book = book
        self._raw = raw
        self._topic = dead_letter_topic

    async def send(self, records: Sequence[Outgoing], kind: Kind) -> int:
        """Send one chunk; how many were sent. Those that the book has already are passed over."""
        ends = await self._raw.ends({record.partition for record in records})
        begun = await self._book.begin(records, ends, kind)
        fresh = [record for record in records if record.letter_id in begun]
        await self._send(fresh)
        return len(fresh)

    async def settle(self, entries: Collection[Entry]) -> Unsettled:
        """Find out about unsettled rows, and note those that were sent; waits until the answer is certain."""
        found: dict[LetterId, int] = {}
        missing = tuple(entries)
        while missing:
            found |= await self._find(missing)
            missing = tuple(entry for entry in missing if entry.letter_id not in found)
            wait = max((SETTLE_AFTER_SECONDS - entry.age_seconds for entry in missing), default=0.0)
            if wait <= 0:
                break
            await asyncio.sleep(wait)
            missing = tuple(replace(entry, age_seconds=entry.age_seconds + wait) for entry in missing)
        if found:
            await self._book.note(found)
        return Unsettled(found, missing)

    async def send_begun(self, records: Sequence[Outgoing]) -> None:
        """Send what `settle` has found missing: its rows are in the book already."""
        for start in range(0, len(records), CHUNK_RECORDS):
            await self._send(records[start : start + CHUNK_RECORDS])

    async def _send(self, records: Sequence[Outgoing]) -> None:
        if records:
            await self._book.note(await self._raw.produce(records))

    async def _find(self, entries: Collection[Entry]) -> dict[LetterId, int]:
        starts: dict[int, int] = {}
        for entry in entries:
            starts[entry.raw_partition] = min(entry.raw_end, starts.get(entry.raw_partition, entry.raw_end))
        return await self._raw.find({entry.letter_id for entry in entries}, starts, self._topic)
