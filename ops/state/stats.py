"""`state stats`: size, age and duplicates of the state table, and whether its progress is behind Kafka."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from ops.kit.postgres import database
from ops.state.session import LogOffsets, StateSettings, log_offsets, progress_of, query

COUNT_UP_TO = 2_000_000  # rows that a whole count may read
SAMPLE_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class TypeStats:
    """Claims of one event type in one log; from a sample, `claims` and `duplicates` are extrapolated."""

    log: str
    event_type: str
    claims: int
    duplicates: int
    conflicts: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """Progress of one partition of the settings' log, and the group's commit."""

    partition: int
    progress: int | None
    committed: int | None

    @property
    def behind(self) -> int:
        """Committed records that the table does not know: the next takeover heals them."""
        return max(0, (self.committed or 0) - (self.progress or 0))


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything `state stats` shows."""

    log: str
    group: str
    table_bytes: int
    index_bytes: int
    estimated: bool
    types: Sequence[TypeStats]
    partitions: Sequence[PartitionProgress]

    @property
    def claims(self) -> int:
        """Rows of the table."""
        return sum(found.claims for found in self.types)

    def as_json(self) -> dict[str, object]:
        """For `-o json`."""
        return {
            "log": self.log,
            "group": self.group,
            "estimated": self.estimated,
            "claims": self.claims,
            "table_bytes": self.table_bytes,
            "index_bytes": self.index_bytes,
            "event_types": [
                {
                    "log": found.log,
                    "event_type": found.event_type,
                    "claims": found.claims,
                    "duplicates": found.duplicates,
                    "conflicts": found.conflicts,
                    "oldest": found.oldest,
                    "newest": found.newest,
                }
                for found in self.types
            ],
            "partitions": [
                {
                    "partition": found.partition,
                    "progress": found.progress,
                    "committed": found.committed,
                    "behind": found.behind,
                }
                for found in self.partitions
            ],
        }


async def read_stats(settings: StateSettings, *, exact: bool) -> Stats:
    """Ask PostgreSQL and Kafka. A large table is sampled unless `exact`."""
    offsets = await log_offsets(settings)  # before the progress: the other way round, a busy group would look behind
    async with database(settings) as connection:
        table_bytes, index_bytes, rows = (await query(connection, "table_size"))[0]
        names: dict[int, str] = dict(await query(connection, "logs"))
        percent = sample_percent(rows, exact=exact)
        claims = await _claims(connection, percent)
        conflicts = await query(connection, "conflict_statistics")
        number = next((number for number, name in names.items() if name == settings.log_name), None)
        progress = {} if number is None else await progress_of(connection, number)
    return Stats(
        log=settings.log_name,
        group=settings.processor_group,
        table_bytes=table_bytes,
        index_bytes=index_bytes,
        estimated=percent is not None,
        types=by_type(names, claims, conflicts, scale=1 if percent is None else 100 / percent),
        partitions=by_partition(offsets, progress),
    )


def sample_percent(rows: int, *, exact: bool) -> float | None:
    """Which part of the table to read; None: all of it. `rows` is PostgreSQL's own estimate, -1 if it has none."""
    return None if exact or rows <= COUNT_UP_TO else 100 * SAMPLE_ROWS / rows


async def _claims(connection: psycopg.AsyncConnection, percent: float | None) -> list[TupleRow]:
    if percent is None:
        return await query(connection, "claim_statistics")
    return await query(connection, "claim_statistics_sampled", {"percent": percent})


def by_type(
    names: dict[int, str], claims: Iterable[TupleRow], conflicts: Iterable[TupleRow], *, scale: float
) -> list[TypeStats]:
    """Rows of the two statistics put together by log and event type."""
    counted = {(number, event_type): count for number, event_type, count in conflicts}
    return [
        TypeStats(
            log=names.get(number, f"log {number}"),
            event_type=event_type,
            claims=round(rows * scale),
            duplicates=round(duplicates * scale),
            conflicts=counted.get((number, event_type), 0),
            oldest=oldest,
            newest=newest,
        )
        for number, event_type, rows, duplicates, oldest, newest in claims
    ]


def by_partition(offsets: LogOffsets, progress: dict[int, int]) -> list[PartitionProgress]:
    """Every partition of the topic, known to the table or not."""
    return [
        PartitionProgress(partition, progress.get(partition), offsets.committed.get(partition))
        for partition in sorted(offsets.ranges)
    ]
