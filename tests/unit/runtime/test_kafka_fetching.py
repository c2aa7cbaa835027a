"""One corrupt batch fails the read of its own partition; a task of the client that died does not die in silence."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from runtime.errors import LogUnavailableError
from runtime.kafka import raise_if_fetching_ended

TOO_SHORT = bytes(8) + (3).to_bytes(4, "big") + bytes(40)  # an offset, and a length that no batch has
CHANGED = bytes(8) + (60).to_bytes(4, "big") + bytes(4) + bytes([2]) + bytes(80)


@pytest.mark.parametrize("answer", [TOO_SHORT, CHANGED])
def test_corrupt_batch_is_raised_where_its_partition_is_read(answer: bytes) -> None:
    """And not where the client fetches for all partitions, which it would do no more."""
    records = MemoryRecords(answer)
    assert records.has_next()
    of_partition = PartitionRecords(TopicPartition("raw", 0), records, [], 0, None, None, True, READ_COMMITTED)

    with pytest.raises(CorruptRecordException):
        list(of_partition)


async def test_fetching_that_ended_is_noticed() -> None:
    async def fetching() -> None:
        raise RuntimeError("of the client")

    task = asyncio.create_task(fetching())
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(error_future=task))
    raise_if_fetching_ended(consumer)
    await asyncio.wait([task])

    with pytest.raises(LogUnavailableError, match="fetches no more: unexpected RuntimeError"):
        raise_if_fetching_ended(consumer)
