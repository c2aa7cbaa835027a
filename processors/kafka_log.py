"""Reads one partition of the raw log from Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, OffsetOutOfRangeError

from processors.model import Bounds, RawRecord
from runtime.errors import LogUnavailableError, RefusedError
from runtime.kafka import reading

FETCH_WAIT_MS = 200  # how long an idle fetch waits; also how late a stop is noticed
READ_SECONDS = 15.0


class KafkaLog:
    """Reads through two consumers: `member` asks for the group's offset, `fetcher` (in no group) fetches.

    They are apart because a group member's fetches stop while the group rebalances, which is exactly when a partition
    must be able to finish its work and let go.
    """

    def __init__(
        self,
        member: AIOKafkaConsumer,
        fetcher: AIOKafkaConsumer,
        partition: TopicPartition,
        *,
        committed: Callable[[TopicPartition], Awaitable[int | None]],
    ) -> None:
        self._member = member
        self._fetcher = fetcher
        self._partition = partition
        self._committed = committed

    async def committed(self) -> int | None:
        return await self._committed(self._partition)

    async def shown(self) -> int | None:
        with reading():
            async with asyncio.timeout(READ_SECONDS):
                offset: int | None = await self._member.committed(self._partition)
        return offset

    async def bounds(self) -> Bounds:
        with reading():
            async with asyncio.timeout(READ_SECONDS):
                start = await self._fetcher.beginning_offsets([self._partition])
                end = await self._fetcher.end_offsets([self._partition])
        return Bounds(start[self._partition], end[self._partition])

    def seek(self, offset: int) -> None:
        self._fetcher.seek(self._partition, offset)

    async def position(self) -> int:
        with reading():
            async with asyncio.timeout(READ_SECONDS):
                offset: int = await self._fetcher.position(self._partition)
        return offset

    async def fetch(self, max_records: int, *, wait: bool = True) -> Sequence[RawRecord]:
        """Fetch, never cancelled by a deadline: the client does not survive that (it waits 200 ms)."""
        wait_ms = FETCH_WAIT_MS if wait else 0
        try:
            with reading():
                found = await self._fetcher.getmany(self._partition, timeout_ms=wait_ms, max_records=max_records)
        except LogUnavailableError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise RefusedError(
                    f"{self._partition.topic}/{self._partition.partition}: the position is no longer in the log: "
                    "records were removed before they were processed"
                ) from error
            raise
        except IllegalStateError as error:
            raise LogUnavailableError("the partition is not assigned any more") from error
        records: list[RawRecord] = found.get(self._partition, [])
        return records
