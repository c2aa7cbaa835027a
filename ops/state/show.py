"""`state show`: the claims that an idempotency key may mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from ops.state.session import query


@dataclass(frozen=True, slots=True)
class ShownClaim:
    """One claim with its conflicts (offset, time of each)."""

    log: str
    key: str
    partition: int
    owner_offset: int
    owner_time: datetime
    content_hash: int
    records: int
    conflicts: tuple[tuple[int, datetime], ...]

    @property
    def duplicates(self) -> int:
        """Records of the key besides the owner."""
        return max(0, self.records - 1)

    def as_json(self) -> dict[str, object]:
        """For `-o json`."""
        return {
            "log": self.log,
            "claim_key": self.key,
            "partition": self.partition,
            "owner_offset": self.owner_offset,
            "owner_time": self.owner_time,
            "content_hash": f"{self.content_hash & (2**64 - 1):016x}",
            "records": self.records,
            "duplicates": self.duplicates,
            "conflicts": [{"offset": offset, "time": time} for offset, time in self.conflicts],
        }


async def read_claims(connection: psycopg.AsyncConnection, keys: Sequence[str]) -> list[ShownClaim]:
    """Every claim of these claim keys, in any log."""
    found = []
    for row in await query(connection, "claims_of_keys", {"keys": list(keys)}):
        log, key, partition, offset, time, content, records, number = row
        conflicts = await query(connection, "conflicts_of_key", {"log_id": number, "partition": partition, "key": key})
        noted = tuple((at, when) for at, when in conflicts)
        found.append(ShownClaim(log, key, partition, offset, time, content, records, noted))
    return found
