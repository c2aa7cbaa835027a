"""Where the state commands work: which log, which group, which statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import psycopg
from aiokafka import TopicPartition
from psycopg.rows import TupleRow
from pydantic import Field

from ops.kit.committed import committed_offsets
from ops.kit.errors import NotFoundError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client, reader
from ops.kit.scan import Range, whole_topic
from ops.topics.run import partitions_of
from processors.postgres_state import load_queries
from processors.settings import RawLogSettings
from runtime.settings import DatabaseSettings
from schemas.topics import TopicNames

QUERIES = load_queries(resources.files("ops.state").joinpath("queries.sql").read_text(encoding="utf-8"))


class StateSettings(RawLogSettings, DatabaseSettings):
    """Kafka, PostgreSQL, and the processors' own names for group and log."""

    processor_group: str = Field(default="ringover-normalizer", description="Consumer group of the processors")


@dataclass(frozen=True, slots=True)
class LogOffsets:
    """The raw log and how far the processors are, by partition; without an entry they never committed there."""

    ranges: Mapping[int, Range]
    committed: Mapping[int, int]

    @property
    def bounds(self) -> dict[str, object]:
        """Partitions and where each begins, as statements take them."""
        return {"partitions": list(self.ranges), "starts": [found.start for found in self.ranges.values()]}


async def query(
    connection: psycopg.AsyncConnection, name: str, parameters: Mapping[str, object] | None = None
) -> list[TupleRow]:
    """The rows of one named statement."""
    cursor = await connection.execute(QUERIES[name], parameters)
    return await cursor.fetchall() if cursor.description else []


async def log_id(connection: psycopg.AsyncConnection, name: str) -> int:
    """The number of a log in the state table.

    Raises:
        NotFoundError: nothing was ever claimed of it.
    """
    rows = await query(connection, "find_log", {"name": name})
    if not rows:
        raise NotFoundError(f"the state table knows no log {name} (KAFKA_TOPIC_PREFIX, PROCESSOR_LOG_ID)")
    return int(rows[0][0])


async def progress_of(connection: psycopg.AsyncConnection, number: int) -> dict[int, int]:
    """Progress by partition."""
    return dict(await query(connection, "progress_of_log", {"log_id": number}))


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
