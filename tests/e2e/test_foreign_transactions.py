"""A transaction that somebody else leaves open on one of our topics is named, and over when it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from tests.support.cli import run
from tests.support.kafka import connect, store
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

HELD = 1
LONGER_MS = 600_000  # than any test waits
NAME_SECONDS = 60.0
REWIND_SECONDS = 120.0


@asynccontextmanager
async def open_on(place: Place, topic: str, *, value: bytes) -> AsyncIterator[AIOKafkaProducer]:
    """Another producer's transaction, open on one partition until the end; then it is aborted."""
    producer = AIOKafkaProducer(
        **connect(place.bootstrap_servers),
        transactional_id=f"{place.topics.prefix}foreign",
        transaction_timeout_ms=LONGER_MS,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, b"foreign", partition=HELD)
        yield producer
    finally:
        await producer.abort_transaction()
        await producer.stop()


async def test_an_open_transaction_on_raw_is_named_until_it_ends(place: Place, programs: Programs) -> None:
    processor = programs.processor()
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=81, calls=60))
    await processed(place, count)
    first = (await committed_offsets(place))[HELD]
    async with open_on(place, place.topics.raw, value=b"{}"):
        count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=82, calls=60))
        words = f"transaction is open on {place.topics.raw}/{HELD} since offset {first}"

        await _named(processor, words)

        await until(lambda: _lag_says(programs, words), what="its name in lag")
        assert f'ringover_partition_problem{{kind="waits",partition="{HELD}"}} 1.0' in await processor.metrics()
        assert (await committed_offsets(place))[HELD] == first

    await processed(place, count)
    await processor.ready()
    await judge(place)


async def test_an_open_transaction_on_the_offset_topic_is_named_by_rewind_and_by_a_takeover(
    place: Place, programs: Programs
) -> None:
    first = programs.processor()
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=83, calls=60))
    await processed(place, count)
    assert first.stop() == 0
    before = await committed_offsets(place)
    words = f"transaction is open on {place.topics.offset}/{HELD} since offset "
    async with open_on(place, place.topics.offset, value=b"1"):
        ran = await run(programs.env, "rewind", "--to-earliest", "--execute", expect=1, seconds=REWIND_SECONDS)

        assert words in ran.err
        assert "no broker answers" not in ran.err
        assert await committed_offsets(place) == before
        second = programs.processor()
        await _named(second, f"partition {HELD}: another producer's {words}")

    count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=84, calls=60))
    await processed(place, count)
    await second.ready()
    await judge(place)


async def _named(processor: Program, words: str) -> None:
    async def named() -> bool:
        assert processor.running, processor.tail()
        status, text = await processor.readyz()
        return status == 503 and words in text

    await until(named, seconds=NAME_SECONDS, what=f"{words} in /readyz")


async def _lag_says(programs: Programs, words: str) -> bool:
    return words in (await run(programs.env, "lag", expect=0)).out
