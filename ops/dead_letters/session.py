"""Where the dead-letter commands work: the topic, the book and what both belong to, opened together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ops.dead_letters.ledger import Book
from ops.dead_letters.topic import DeadLetterTopic
from ops.kit.kafka import admin_client, reader
from ops.kit.postgres import database
from ops.kit.topics import partitions_of_all
from processors.settings import RawLogSettings
from runtime.settings import DatabaseSettings
from schemas.placement import partition_of, spread
from schemas.topics import TopicNames


class DeskSettings(RawLogSettings, DatabaseSettings):
    """What the dead-letter commands read from the environment."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An open dead-letter topic and its book. `log_name` is the raw log's in the state table."""

    settings: DeskSettings
    names: TopicNames
    topic: DeadLetterTopic
    book: Book
    spread: int  # over so many partitions of the raw topic are keys spread
    log_name: str

    def partition_of(self, key: bytes) -> int:
        """Where the ingress puts a key."""
        return partition_of(key, range(self.spread))


@asynccontextmanager
async def open_desk(settings: DeskSettings) -> AsyncIterator[Desk]:
    """Open everything that reading needs; errors inside the context are converted to `OpsError`."""
    names = TopicNames(settings.kafka_topic_prefix)
    async with admin_client(settings) as admin:
        counts = await partitions_of_all(admin, (names.raw, names.dead_letter))
    async with database(settings) as connection, reader(settings, isolation="read_committed") as consumer:
        yield Desk(
            settings,
            names,
            DeadLetterTopic(consumer, names.dead_letter, counts[names.dead_letter]),
            Book(connection, names.dead_letter),
            spread(counts.values()),
            settings.log_name,
        )
