"""What the writer thread is asked for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ingress.ports import Record
from ingress.spool.model import Row


@dataclass(frozen=True, slots=True, eq=False)
class Append:
    """Store a record; answered after the fsync. `spooled_at` is in milliseconds of Unix time."""

    record: Record
    spooled_at: int
    size: int
    answer: asyncio.Future[None]


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Remove rows; answered with the ids that were there."""

    rows: Sequence[Row]
    answer: asyncio.Future[set[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """The oldest rows after an id, at least one if there is any."""

    after: int
    max_rows: int
    max_bytes: int
    answer: asyncio.Future[list[Row]]


Request: TypeAlias = Append | Delete | Read
Result: TypeAlias = set[int] | list[Row] | None
