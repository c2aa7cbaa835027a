"""Compares claims with the raw log, chunk by chunk: pure, and with memory for one chunk only.

Two looks at each chunk of a partition settle every claim whose owner lies in it:

- from the log: each valid record's key must be claimed, by a record that is not after this one;
- from the table: each claim whose owner should lie in the chunk must name a valid record of that key.

A claim that passes the second look and is not of the first record of its key fails the first one at that record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from processors.model import Owner


class Fault(StrEnum):
    """Lists what can be wrong with a claim."""

    MISSING = "missing"  # a valid record's key is not claimed
    WRONG_OWNER = "wrong_owner"  # claimed, but an earlier record is the first with this key
    INVENTED = "invented"  # the owner does not exist, is not valid or has another key
    WRONG_CONTENT = "wrong_content"  # the owner is right, the hash of its normalized value is not


@dataclass(frozen=True, slots=True)
class ValidRecord:
    """Holds a valid record of the log, as far as claims go."""

    offset: int
    key: str
    content_hash: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Tells a claim that differs; `owner` is the table's, as `partition/offset`."""

    fault: Fault
    claim_key: str
    partition: int
    first_valid_offset: int | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Holds the valid records of a chunk of a partition, and the claims whose owner should lie in it."""

    partition: int
    records: Sequence[ValidRecord]
    claimed: Mapping[str, Owner]

    def firsts(self) -> dict[str, ValidRecord]:
        """The first record of each key in this chunk."""
        firsts: dict[str, ValidRecord] = {}
        for record in self.records:
            firsts.setdefault(record.key, record)
        return firsts

    def unsettled(self) -> list[str]:
        """Keys whose owner must be asked for: the claim does not name their first record in this chunk."""
        firsts = self.firsts().items()
        return [key for key, first in firsts if key not in self.claimed or self.claimed[key].offset != first.offset]


def compare(chunk: Chunk, owners: Mapping[str, Owner]) -> Iterator[Finding]:
    """What differs in one chunk; `owners` has the claims of the unsettled keys, as far as there are any."""
    at = {record.offset: record for record in chunk.records}
    firsts = chunk.firsts()
    for key, owner in chunk.claimed.items():
        record = at.get(owner.offset)
        if record is None or record.key != key:
            if key not in firsts or firsts[key].offset > owner.offset:  # else it is told below, with the right owner
                yield Finding(Fault.INVENTED, key, chunk.partition, None, _place(owner))
        elif record.content_hash != owner.content_hash:
            yield Finding(Fault.WRONG_CONTENT, key, chunk.partition, owner.offset, _place(owner))
    for key in chunk.unsettled():
        claim = owners.get(key)
        first = firsts[key].offset
        if claim is None:
            yield Finding(Fault.MISSING, key, chunk.partition, first, None)
        elif claim.partition != chunk.partition or claim.offset > first:
            yield Finding(Fault.WRONG_OWNER, key, chunk.partition, first, _place(claim))


def _place(owner: Owner) -> str:
    return f"{owner.partition}/{owner.offset}"
