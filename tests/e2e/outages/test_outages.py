"""PostgreSQL or Kafka away: the processor waits, says so, and goes on by itself. On servers of the module's own.

OUTAGE_SECONDS: how long PostgreSQL is away under load (`make outages` takes a minute).
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime import aiokafka_fixes
from runtime.kafka import close_consumer
from sandbox.devstack.stack import Devstack
from tests.support.kafka import connect, producer, raw_headers, store
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "8"))
CATCH_UP_SECONDS = 60.0  # after PostgreSQL's return
LOAD_PER_SECOND = 300
COMMITS = 3000  # as many take the broker some time to read again


async def test_postgresql_away(stack: Devstack, place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=21, calls=200))
    processor = programs.processor()
    await processed(place, count)
    stack.postgres.stop()
    try:
        await _not_ready(processor, "PostgreSQL")
        count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=22, calls=200))
        await _metric(processor, "ringover_state_available", 0)
        await _retried(processor)
    finally:
        stack.postgres.start()
    await processed(place, count)
    await processor.ready()

    await judge(place)
    assert processor.log.read_text().count('"partitions.assigned"') == 1  # it never left the group


@pytest.mark.timeout(int(OUTAGE_SECONDS + CATCH_UP_SECONDS) + 120)
async def test_postgresql_away_under_load(stack: Devstack, place: Place, programs: Programs) -> None:
    processors = [programs.processor(), programs.processor()]
    for processor in processors:
        await processor.ready()
    await _all_partitions_taken(processors, partitions=3)
    async with _load(place) as stored:
        await until(lambda: _stored(stored, LOAD_PER_SECOND), what="the load")
        stack.postgres.kill()
        try:
            during = len(stored) + int(OUTAGE_SECONDS * LOAD_PER_SECOND)
            await until(lambda: _stored(stored, during), seconds=OUTAGE_SECONDS * 3 + 30, what="load in the outage")
        finally:
            stack.postgres.start()
        back, waiting = time.monotonic(), len(stored)
        await processed(place, waiting, seconds=CATCH_UP_SECONDS)
        caught_up = time.monotonic() - back
    await processed(place, len(stored), seconds=CATCH_UP_SECONDS - (time.monotonic() - back))

    model = await judge(place)  # exactly the model's dead letters: none for the outage
    assert len(model.events) > OUTAGE_SECONDS * LOAD_PER_SECOND / 2
    for processor in processors:
        log = processor.log.read_text()
        assert processor.running
        assert '"partitions.revoked"' not in log.partition('"state.unavailable"')[2]  # no rebalance
    print(  # noqa: T201 - shown by `make outages`
        f"\nPostgreSQL killed for {OUTAGE_SECONDS:g} s at {LOAD_PER_SECOND}/s: {len(stored)} records, "
        f"{len(model.events)} events, {len(model.dead_letters)} dead letters, none of the outage; no rebalance; "
        f"the {waiting} records of its return processed {caught_up:.1f} s after it"
    )


async def test_kafka_away(stack: Devstack, place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=23, calls=500))
    processor = programs.processor(PROCESSOR_BATCH_RECORDS="20")
    await processor.ready()
    stack.kafka.kill()
    try:
        await _not_ready(processor, "Kafka")
        await _metric(processor, "ringover_kafka_available", 0)
    finally:
        stack.kafka.start()
    count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=24, calls=200))
    await processed(place, count, seconds=90)
    await processor.ready()

    await judge(place)


async def test_broker_that_crashed_shows_the_last_offset_once_it_answers(stack: Devstack, place: Place) -> None:
    """While its coordinator loads it answers an error, which the client takes for a group without offsets."""
    aiokafka_fixes.apply()
    source = TopicPartition(place.topics.raw, 0)
    for crash in range(3):
        async with _group(place) as consumer:
            consumer.assign([source])
            for offset in range(COMMITS):
                await consumer.commit({source: COMMITS * crash + offset})
        stack.kafka.kill()
        stack.kafka.start()
        async with _group(place) as consumer:
            consumer.assign([source])
            assert await consumer.committed(source) == COMMITS * (crash + 1) - 1


async def test_started_while_both_are_away(stack: Devstack, place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=25, calls=50))
    stack.kafka.stop()
    stack.postgres.stop()
    try:
        processor = programs.processor()
        await _not_ready(processor, "PostgreSQL")
        await _not_ready(processor, "Kafka")
    finally:
        stack.postgres.start()
        stack.kafka.start()
    await processed(place, count, seconds=90)
    await processor.ready()

    await judge(place)


@asynccontextmanager
async def _group(place: Place) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**connect(place.bootstrap_servers), group_id=place.group, enable_auto_commit=False)
    try:
        await consumer.start()
        yield consumer
    finally:
        await close_consumer(consumer)


@asynccontextmanager
async def _load(place: Place) -> AsyncIterator[list[None]]:
    """Store raw records at a steady rate while the context is open; yields one entry for each that is stored."""
    stored: list[None] = []
    done = asyncio.Event()

    async def run() -> None:
        webhooks = traffic(seed=26, calls=1_000_000)
        began = time.monotonic()
        async with producer(place.bootstrap_servers) as client:
            for number, webhook in enumerate(webhooks):
                await client.send_and_wait(
                    place.topics.raw, webhook.body, webhook.key.encode(), headers=raw_headers(webhook.slug)
                )
                stored.append(None)
                if done.is_set():
                    return
                ahead = number / LOAD_PER_SECOND - (time.monotonic() - began)
                if ahead > 0:
                    await asyncio.sleep(ahead)

    async with asyncio.TaskGroup() as group:
        group.create_task(run())
        try:
            yield stored
        finally:
            done.set()


async def _stored(stored: list[None], count: int) -> bool:
    return len(stored) >= count


async def _all_partitions_taken(processors: list[Program], *, partitions: int) -> None:
    async def taken() -> bool:
        found = [re.search(r"^ringover_partitions (\S+)$", await p.metrics(), re.MULTILINE) for p in processors]
        counts = [float(match[1]) if match else 0 for match in found]
        return sum(counts) == partitions and all(counts)

    await until(taken, what="partitions shared out")


async def _not_ready(program: Program, reason: str) -> None:
    async def refused() -> bool:
        assert program.running, program.tail()
        status, text = await program.readyz()
        return status == 503 and reason in text

    await until(refused, what=f"{program.name} not ready because of {reason}")


async def _metric(program: Program, name: str, value: float) -> None:
    async def shown() -> bool:
        found = re.search(rf"^{name} (\S+)$", await program.metrics(), re.MULTILINE)
        return found is not None and float(found[1]) == value

    await until(shown, what=f"{name} = {value}")


async def _retried(program: Program) -> None:
    async def logged() -> bool:
        return '"state.unavailable"' in program.log.read_text()

    await until(logged, what="a claim tried again")
