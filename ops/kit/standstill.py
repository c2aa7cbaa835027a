"""Reads which partitions stand still, and why, as the processors tell it in PostgreSQL."""

from collections.abc import Mapping
from dataclasses import replace

import psycopg

from ops.kit.errors import OpsError
from ops.kit.pause import Say
from ops.kit.postgres import database, database_errors
from ops.kit.settings import OffsetSettings
from ops.lag.model import GroupLag, Standstill
from processors.postgres_state import QUERIES


async def standstills(connection: psycopg.AsyncConnection, group: str, topic: str) -> dict[int, Standstill]:
    """Reads which partitions of a group stand still, and why.

    Raises:
        OpsError: PostgreSQL is away or refuses.
    """
    with database_errors():
        cursor = await connection.execute(QUERIES["problems"], {"group": group, "topic": topic})
        return {number: Standstill(since, problem, who) for number, since, problem, who in await cursor.fetchall()}


def with_standstills(lag: GroupLag, found: Mapping[int, Standstill]) -> GroupLag:
    """The same lag, with what is known of its partitions."""
    told = (replace(partition, standstill=found.get(partition.partition)) for partition in lag.partitions)
    return replace(lag, partitions=tuple(told))


class StandstillReader:
    """Reads them for `lag`, if DATABASE_URL is set; a database that is away is said once, and no reason to fail."""

    def __init__(self, settings: OffsetSettings, say: Say) -> None:
        self._settings, self._say = settings, say
        self._said: str | None = None

    async def add_to(self, lag: GroupLag) -> GroupLag:
        """The lag with its standstills, as far as they can be read."""
        if self._settings.database_url is None:
            return lag
        try:
            async with database(self._settings) as connection:
                found = await standstills(connection, lag.group, lag.topic)
        except OpsError as error:
            if str(error) != self._said:
                self._said = str(error)
                self._say(f"warning: {error}; partitions that stand still are not named")
            return lag
        self._said = None
        return with_standstills(lag, found)
