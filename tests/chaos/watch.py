"""Looks at the log and the group from outside, every 2 s, past all proxies; brokers that are away are no error."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.support.verdict import Place, committed_offsets

INTERVAL_SECONDS = 2.0
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Ends of the raw log and the group's offsets, by partition; `at` on the clock of the run."""

    at: float
    ends: Mapping[int, int]
    committed: Mapping[int, int]

    @property
    def lag(self) -> int:
        """Records not yet processed."""
        return sum(max(0, end - self.committed.get(partition, 0)) for partition, end in self.ends.items())


class Watch:
    """Samples while `run` runs."""

    def __init__(self, place: Place, partitions: int, now: Callable[[], float]) -> None:
        self.samples: list[Sample] = []
        self._place = place
        self._raw = [TopicPartition(place.topics.raw, number) for number in range(partitions)]
        self._now = now

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(KafkaError, TimeoutError, OSError):
                await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> Sample:
        """One sample; the offsets are read after the ends, so a lag of 0 is one."""
        async with asyncio.timeout(ANSWER_SECONDS):
            at, ends = self._now(), await ends_of(self._place, self._raw)
            offsets = await committed_offsets(self._place)
        found = Sample(at, {partition.partition: end for partition, end in ends.items()}, offsets)
        self.samples.append(found)
        return found


def caught_up(samples: Sequence[Sample], since: float) -> float | None:
    """Seconds from `since` until everything was processed that the raw log held then; None: never seen."""
    after = [sample for sample in samples if sample.at >= since]
    if not after:
        return None
    wanted = after[0].ends
    for sample in after:
        if all(sample.committed.get(partition, 0) >= end for partition, end in wanted.items()):
            return sample.at - since
    return None


async def ends_of(
    place: Place, partitions: Sequence[TopicPartition], *, isolation_level: str = "read_uncommitted"
) -> dict[TopicPartition, int]:
    """By partition, the log's end; with `read_committed` the last stable offset."""
    async with _consumer(place, isolation_level) as consumer:
        found: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
        return found


async def undecided(place: Place, partitions: int) -> dict[str, int]:
    """By `topic/partition`, the records after the last stable offset: those of transactions that are open."""
    topics = place.topics
    names = (topics.raw, topics.call, topics.recording, topics.dead_letter)
    every = [TopicPartition(name, number) for name in names for number in range(partitions)]
    stable = await ends_of(place, every, isolation_level="read_committed")
    written = await ends_of(place, every)
    return {f"{partition.topic}/{partition.partition}": end - stable[partition] for partition, end in written.items()}


async def spooled(admin_url: str) -> int:
    """Records that the ingress has acknowledged and not yet handed to Kafka; 0 when it has no spool.

    Raises:
        aiohttp.ClientError, TimeoutError: it does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{admin_url}/metrics") as response:
        found = re.search(r"^ringover_spool_records (\S+)$", await response.text(), re.MULTILINE)
    return int(float(found[1])) if found else 0


@asynccontextmanager
async def _consumer(place: Place, isolation_level: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.bootstrap_servers, enable_auto_commit=False, isolation_level=isolation_level
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
