"""Which group and topic a rewind is about, and where its servers are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from pydantic import Field, SecretStr

from ops.kit.errors import UsageError
from ops.kit.postgres import database
from ops.kit.settings import GroupSettings
from processors.settings import RawLogSettings
from runtime.settings import DatabaseSettings
from schemas.topics import TopicNames


class RewindSettings(RawLogSettings, GroupSettings):
    """What the command reads from the environment; the database is needed for the processors' group only."""

    database_url: SecretStr | None = Field(default=None, description="PostgreSQL connection URI of the state table")


@dataclass(frozen=True, slots=True)
class Place:
    """A group's offsets in a topic; `partitions` None: all of them."""

    settings: RewindSettings
    group: str
    topic: str
    partitions: tuple[int, ...] | None = None

    @property
    def names(self) -> TopicNames:
        """The topics of this environment."""
        return TopicNames(self.settings.kafka_topic_prefix)

    @property
    def ours(self) -> bool:
        """Whether these are the processors' offsets in the raw log, and not those of a team downstream."""
        return self.group == self.settings.processor_group and self.topic == self.names.raw

    @property
    def log_name(self) -> str:
        """The raw log's name in the state table."""
        return self.settings.log_name


@asynccontextmanager
async def state_of(place: Place) -> AsyncIterator[psycopg.AsyncConnection | None]:
    """A connection to the state table; None for a group downstream without DATABASE_URL.

    Raises:
        UsageError: the processors' group, and no DATABASE_URL.
    """
    url = place.settings.database_url
    if url is not None:
        async with database(DatabaseSettings(database_url=url)) as connection:
            yield connection
    elif place.ours:
        raise UsageError("DATABASE_URL is needed to rewind the processors: they are paused by it")
    else:
        yield None
