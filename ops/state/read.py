"""Reads the state table for operators: the claims of a key, sizes and ages, and how far it is behind Kafka."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple

import psycopg
from aiokafka import TopicPartition
from psycopg.rows import TupleRow

from ops.kit.claims import log_number, progress_of, query
from ops.kit.committed import committed_offsets
from ops.kit.errors import NotFoundError, UsageError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.scan import Range, whole_topic
from ops.kit.settings import StateSettings
from ops.kit.topics import partitions_of
from runtime.settings import DatabaseSettings
from schemas.events import EventType
from schemas.identity import SOURCE, ClaimKey, claim_key
from schemas.topics import TopicNames

COUNT_UP_TO = 2_000_000  # rows that a whole count may read
SAMPLE_ROWS = 200_000


class NotedConflict(NamedTuple):
    """Holds a record that had a claimed key and another content."""

    offset: int
    time: datetime


@dataclass(frozen=True, slots=True)
class ShownClaim:
    """Holds a claim with its conflicts; `content_hash` in hex."""

    also_in_json: ClassVar = ("duplicates",)

    log: str
    claim_key: str
    partition: int
    owner_offset: int
    owner_time: datetime
    content_hash: str
    records: int
    conflicts: Sequence[NotedConflict]

    @property
    def duplicates(self) -> int:
        """Records of the key besides the owner."""
        return max(0, self.records - 1)


class TypeStats(NamedTuple):
    """Sums up the claims of an event type in a log; from a sample, `claims` and `duplicates` are extrapolated."""

    log: str
    event_type: str
    claims: int
    duplicates: int
    conflicts: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """Holds how far a partition of the settings' log was claimed, and the group's commit."""

    also_in_json: ClassVar = ("behind",)

    partition: int
    progress: int | None
    committed: int | None

    @property
    def behind(self) -> int:
        """Committed records that the table does not know: the next takeover heals them."""
        return max(0, (self.committed or 0) - (self.progress or 0))


@dataclass(frozen=True, slots=True)
class StateStats:
    """Holds everything that `state stats` shows."""

    also_in_json: ClassVar = ("claims",)

    log: str
    group: str
    estimated: bool
    table_bytes: int
    index_bytes: int
    event_types: Sequence[TypeStats]
    partitions: Sequence[PartitionProgress]

    @property
    def claims(self) -> int:
        return sum(found.claims for found in self.event_types)


@dataclass(frozen=True, slots=True)
class LogOffsets:
    """Holds the raw log's bounds and the group's commits, by partition; those without a commit are left out."""

    ranges: Mapping[int, Range]
    committed: Mapping[int, int]

    @property
    def starts(self) -> dict[int, int]:
        """Where each partition begins."""
        return {partition: found.start for partition, found in self.ranges.items()}


async def log_offsets(settings: StateSettings) -> LogOffsets:
    """The raw log's bounds and how far the processors are; the latter first, so that none lies beyond its log's end."""
    async with admin_client(settings) as admin:
        count = await partitions_of(admin, settings.raw_topic)
        partitions = [TopicPartition(settings.raw_topic, number) for number in range(count)]
        group, own_topic = Group(admin, settings.processor_group), TopicNames(settings.kafka_topic_prefix).offset
        committed = await committed_offsets(settings, group, partitions, own_topic=own_topic)
    async with reader(settings, isolation="read_uncommitted") as consumer:
        whole = await whole_topic(consumer, partitions)
    return LogOffsets(
        {partition.partition: found for partition, found in whole.items()},
        {number: offset for number, offset in committed.items() if offset is not None},
    )


def bounds(starts: Mapping[int, int]) -> dict[str, object]:
    """Partitions and where each begins, as statements take them."""
    return {"partitions": list(starts), "starts": list(starts.values())}


async def known_log(connection: psycopg.AsyncConnection, settings: StateSettings) -> int:
    """The number of the settings' log in the state table.

    Raises:
        NotFoundError: nothing was ever claimed of it.
    """
    number = await log_number(connection, settings.log_name)
    if number is None:
        name = settings.log_name
        raise NotFoundError(f"the state table knows no log {name} (KAFKA_TOPIC_PREFIX, PROCESSOR_LOG_ID)")
    return number


def candidates(key: str) -> list[ClaimKey]:
    """Every claim key that `key` may stand for: itself, and each way to read it as a published key.

    A published key with a part runs call id and the part's id together with `:`, which either may contain, so every
    colon is tried.

    Raises:
        UsageError: it is no idempotency key at all.
    """
    source, _, rest = key.partition(":")
    name, _, ids = rest.partition(":")
    if source != SOURCE or name not in set(EventType) or not ids:
        names = ", ".join(EventType)
        raise UsageError(f"not an idempotency key: write {SOURCE}:<event>:<call.id>, with one of the events {names}")
    found = {ClaimKey(key): None}
    found.update(dict.fromkeys(_readings(EventType(name), ids)))
    return list(found)


def _readings(event_type: EventType, ids: str) -> list[ClaimKey]:
    if event_type.part is None:
        return [claim_key(event_type, ids)]
    words = ids.split(":")
    splits = ((":".join(words[:cut]), ":".join(words[cut:])) for cut in range(1, len(words)))
    return [claim_key(event_type, call, part) for call, part in splits if call and part]


async def read_claims(settings: DatabaseSettings, keys: Sequence[str]) -> list[ShownClaim]:
    """Every claim of these claim keys, in any log."""
    found = []
    async with database(settings) as connection:
        rows = await query(connection, "claims_of_keys", keys=list(keys))
        for log, key, partition, offset, time, content, records, number in rows:
            conflicts = await query(connection, "conflicts_of_key", log_id=number, partition=partition, key=key)
            noted, in_hex = [NotedConflict(*row) for row in conflicts], f"{content & (2**64 - 1):016x}"
            found.append(ShownClaim(log, key, partition, offset, time, in_hex, records, noted))
    return found


async def read_stats(settings: StateSettings, *, exact: bool) -> StateStats:
    """Ask PostgreSQL and Kafka. A large table is sampled unless `exact`."""
    offsets = await log_offsets(settings)  # before the progress: the other way round, a busy group would look behind
    async with database(settings) as connection:
        ((table_bytes, index_bytes, rows),) = await query(connection, "table_size")
        names: dict[int, str] = dict(await query(connection, "logs"))
        percent = sample_percent(rows, exact=exact)
        statement = "claim_statistics" if percent is None else "claim_statistics_sampled"
        claims = await query(connection, statement, percent=percent)
        conflicts = await query(connection, "conflict_statistics")
        progress = await progress_of(connection, settings.log_name)
    return StateStats(
        log=settings.log_name,
        group=settings.processor_group,
        estimated=percent is not None,
        table_bytes=table_bytes,
        index_bytes=index_bytes,
        event_types=by_type(names, claims, conflicts, scale=1 if percent is None else 100 / percent),
        partitions=by_partition(offsets, progress),
    )


def sample_percent(rows: int, *, exact: bool) -> float | None:
    """Which part of the table to read; None: all of it. `rows` is PostgreSQL's own estimate, -1 if it has none."""
    return None if exact or rows <= COUNT_UP_TO else 100 * SAMPLE_ROWS / rows


def by_type(
    names: Mapping[int, str], claims: Iterable[TupleRow], conflicts: Iterable[TupleRow], *, scale: float
) -> list[TypeStats]:
    """Rows of the two statistics put together by log and event type."""
    counted = {(number, event_type): count for number, event_type, count in conflicts}
    return [
        TypeStats(
            names.get(number, f"log {number}"),
            event_type,
            round(rows * scale),
            round(duplicates * scale),
            counted.get((number, event_type), 0),
            oldest,
            newest,
        )
        for number, event_type, rows, duplicates, oldest, newest in claims
    ]


def by_partition(offsets: LogOffsets, progress: Mapping[int, int]) -> list[PartitionProgress]:
    """Every partition of the topic, known to the table or not."""
    return [
        PartitionProgress(partition, progress.get(partition), offsets.committed.get(partition))
        for partition in sorted(offsets.ranges)
    ]
