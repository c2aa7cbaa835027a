"""Claims ranges of the raw log again: a process of its own, because normalizing is bound by one core.

`python -m ops.state.rebuild_worker RATE PARTITION:START:END...` (rate 0: no limit); settings from the environment. Each
batch is one line on stdout: how many records it had. When the parent dies, so does the next line, and with it we.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence

from aiokafka import TopicPartition

from ops.kit.errors import OpsError
from ops.kit.kafka import reader
from ops.kit.scan import Range, scan
from ops.kit.settings import StateSettings
from ops.state.compact import Throttle
from processors.decide import claims_of, decide
from processors.model import Batch, Conflict, Owners, Verdict
from processors.normalize import normalize
from processors.pipeline import SLICE_RECORDS
from processors.postgres_pool import make_pool
from processors.postgres_state import PartitionState, PostgresState
from processors.service import GC_OBJECTS
from runtime.aiokafka_fixes import fetch_bare_records
from runtime.errors import PipelineError
from runtime.lifecycle import calm_garbage_collection
from runtime.settings import load
from schemas.topics import TopicNames

BATCH_RECORDS = 4000
LANES = 2  # partitions at once: one normalizes while PostgreSQL answers the other


class Rebuilder:
    """Claims one partition after another, in order, as a takeover's healing does."""

    def __init__(self, settings: StateSettings, state: PostgresState, rate: int, told: Callable[[int], None]) -> None:
        self._settings, self._state, self._told = settings, state, told
        self._topics = TopicNames(settings.kafka_topic_prefix)
        self._throttle = Throttle(rate or None)
        self._batch_records = min(BATCH_RECORDS, max(1, rate // 4)) if rate else BATCH_RECORDS  # no bursts

    async def partition(self, number: int, wanted: Range) -> None:
        """Claim [start, end) of one partition; what is claimed already stays as it is."""
        claims = self._state.partition(number)
        await claims.open(wanted.start)
        source = TopicPartition(self._settings.raw_topic, number)
        position = wanted.start
        verdicts: list[Verdict] = []
        async with reader(self._settings, isolation="read_committed") as consumer:
            at_most = min(self._batch_records, SLICE_RECORDS)
            async for chunk in scan(consumer, {source: wanted}, at_most=at_most):
                verdicts += [normalize(record, source=f"{source.topic}/{number}") for record in chunk]
                if len(verdicts) + at_most > self._batch_records:
                    position = await self._batch(claims, number, position, verdicts)
                    verdicts = []
        if verdicts:
            position = await self._batch(claims, number, position, verdicts)
        await claims.claim(position, wanted.end, ())  # what is left are transaction markers

    async def _batch(self, claims: PartitionState, number: int, first: int, verdicts: Sequence[Verdict]) -> int:
        batch = Batch(number, first, verdicts[-1].offset + 1, verdicts)

        def conflicts_of(owners: Owners) -> Sequence[Conflict]:
            return decide(batch, owners, topics=self._topics, group=self._settings.processor_group).conflicts

        await claims.reclaim(first, batch.next_offset, claims_of(batch, counted_until=0), conflicts_of)
        self._told(len(verdicts))
        await asyncio.sleep(self._throttle.wait_seconds(len(verdicts), time.monotonic()))
        return batch.next_offset


async def work(settings: StateSettings, ranges: Sequence[tuple[int, Range]], rate: int) -> None:
    """Rebuild the ranges, some at once; lines on stdout tell how it goes."""
    waiting = iter(ranges)
    pool = make_pool(settings.database_url.get_secret_value(), connections=LANES)
    await pool.open()
    state = PostgresState(pool, settings.log_name)
    rebuilder = Rebuilder(settings, state, rate, tell)

    async def lane() -> None:
        for number, wanted in waiting:
            await rebuilder.partition(number, wanted)

    try:
        await state.check()
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(lane())
    finally:
        await pool.close(timeout=2)


def tell(count: int) -> None:
    """Write one line for the parent."""
    sys.stdout.write(f"{count}\n")
    sys.stdout.flush()


def main() -> None:
    """Parse, work, and end with one line when something stands against it."""
    calm_garbage_collection(objects=GC_OBJECTS)
    fetch_bare_records()
    rate, *arguments = sys.argv[1:]
    numbers = (map(int, argument.split(":")) for argument in arguments)
    ranges = [(partition, Range(start, end)) for partition, start, end in numbers]
    code = 0
    try:
        asyncio.run(work(load(StateSettings), ranges, int(rate)))
    except* (PipelineError, OpsError) as group:
        sys.stderr.write(f"{_first(group)}\n")
        code = 1
    except* (BrokenPipeError, KeyboardInterrupt):
        code = 1
    raise SystemExit(code)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    main()
