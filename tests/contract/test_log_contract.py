"""ports.RawLog and ports.Output together: one suite on the in-memory versions and on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from processors.kafka_log import KafkaLog
from processors.kafka_offsets import read_offsets
from processors.kafka_output import KafkaOutput
from processors.model import Bounds, RawRecord, Record, Written
from processors.ports import Output, RawLog
from runtime.errors import FencedError, PublishError, RefusedError
from schemas.topics import MAX_MESSAGE_BYTES, MAX_OUTPUT_BYTES, TopicNames
from tests.support.broker import MemoryKafka
from tests.support.kafka import producer, read_topic
from tests.support.memory import Gate, Hooks, MemoryLog, MemoryOutput, Step
from tests.support.waiting import until

PARTITION = 1
GROUP = "contract"
TOPICS = TopicNames()


class World(Protocol):
    """One partition of a raw log and the topics beside it, as a test needs them."""

    topics: TopicNames
    log: RawLog

    async def append(self, *values: bytes) -> None: ...

    def output(self) -> Output: ...

    def hold_end(self, output: Output, gate: Gate) -> None:
        """The end of the next transaction waits for `gate`."""

    async def visible(self, topic: str) -> list[Written]: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.topics = TOPICS
        self.kafka = MemoryKafka(PARTITION)
        self.log: RawLog = MemoryLog(self.kafka, Hooks())
        self._hooks: dict[int, Hooks] = {}

    async def append(self, *values: bytes) -> None:
        for value in values:
            self.kafka.append(b"key", value, [("endpoint", b"call-ended")])

    def output(self) -> Output:
        hooks = Hooks()
        output = MemoryOutput(self.kafka, hooks)
        self._hooks[id(output)] = hooks
        return output

    def hold_end(self, output: Output, gate: Gate) -> None:
        self._hooks[id(output)].at(Step.END, gate)

    async def visible(self, topic: str) -> list[Written]:
        return list(self.kafka.written.get(topic, ()))


class KafkaWorld:
    """Reads as `processors.member` does: one consumer for the group's offsets, one in no group that fetches."""

    def __init__(self, servers: str, topics: TopicNames, stack: AsyncExitStack) -> None:
        self.topics = topics
        self._servers = servers
        self._stack = stack
        self._source = TopicPartition(topics.raw, PARTITION)
        self._outputs: list[Output] = []
        self._group = f"{topics.raw}.{GROUP}"
        self.log: RawLog

    async def start(self) -> None:
        options = {"bootstrap_servers": self._servers, "enable_auto_commit": False}
        member = AIOKafkaConsumer(group_id=self._group, **options)
        fetcher = AIOKafkaConsumer(
            group_id=None,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=2 * MAX_MESSAGE_BYTES,
            **options,
        )
        for consumer in (member, fetcher):
            await consumer.start()
            self._stack.push_async_callback(consumer.stop)
            consumer.assign([self._source])
        self.log = KafkaLog(member, fetcher, self._source, committed=self._committed)
        self._stack.push_async_callback(self._stop_outputs)

    async def append(self, *values: bytes) -> None:
        async with producer(self._servers) as client:
            await self._send(client, values)

    async def _send(self, client: AIOKafkaProducer, values: Sequence[bytes]) -> None:
        for value in values:
            headers = [("endpoint", b"call-ended")]
            await client.send(self.topics.raw, value, b"key", partition=PARTITION, headers=headers)
        await client.flush()

    def output(self) -> Output:
        options = {"bootstrap_servers": self._servers}
        place = TopicPartition(self.topics.offset, PARTITION)
        output = KafkaOutput(options, group=self._group, source=self._source, place=lambda: place)
        self._outputs.append(output)
        return output

    async def _committed(self, source: TopicPartition) -> int | None:
        options = {"bootstrap_servers": self._servers}
        return (await read_offsets(options, self.topics.offset, self._group, [source]))[source].offset

    def hold_end(self, output: Output, gate: Gate) -> None:
        assert isinstance(output, KafkaOutput)
        commit_transaction = output._producer.commit_transaction

        async def held() -> None:
            await gate()
            await commit_transaction()

        output._producer.commit_transaction = held

    async def _stop_outputs(self) -> None:
        for output in self._outputs:
            await output.stop()

    async def visible(self, topic: str) -> list[Written]:
        found = await read_topic(self._servers, topic)
        assert {record.partition for record in found} <= {PARTITION}  # where the raw record came from
        return [Record(record.key, record.value, list(record.headers), record.timestamp) for record in found]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.server)])
def broker(request: pytest.FixtureRequest) -> tuple[str, TopicNames] | None:
    """The real broker and its topics, or None; asks for servers only when they are needed."""
    if request.param == "memory":
        return None
    return request.getfixturevalue("kafka_bootstrap_servers"), request.getfixturevalue("topics")


@pytest.fixture
async def world(broker: tuple[str, TopicNames] | None) -> AsyncIterator[World]:
    if broker is None:
        yield MemoryWorld()
        return
    async with AsyncExitStack() as stack:
        kafka = KafkaWorld(*broker, stack)
        await kafka.start()
        yield kafka


async def started(world: World) -> Output:
    output = world.output()
    await output.start()
    return output


async def fetch_all(log: RawLog, count: int, *, max_records: int = 1000) -> list[RawRecord]:
    found: list[RawRecord] = []

    async def more() -> bool:
        found.extend(await log.fetch(max_records))
        return len(found) >= count

    await until(more, what=f"{count} records")
    return found


async def shown_becomes(log: RawLog, offset: int) -> None:
    """The coordinator shows a commit a moment after it answered it; only a start() in between makes it certain."""

    async def shown() -> bool:
        return await log.shown() == offset

    await until(shown, what=f"shown offset {offset}")


async def visible_becomes(world: World, topic: str, records: Sequence[Record]) -> None:
    """As with offsets: a consumer sees the end of a transaction a moment after the producer."""

    async def shown() -> bool:
        return await world.visible(topic) == list(records)

    await until(shown, what=f"{len(records)} records on {topic}")


def event(number: int) -> Record:
    headers = [("ce_id", b"%d" % number), ("ce_id", b""), ("x", b"\xff\x00")]
    return Record(b"key-%d" % number, b'{"n":%d}' % number, headers, 1_767_366_000_000 + number)


async def test_nothing_is_committed_at_first(world: World) -> None:
    assert await world.log.committed() is None
    assert await world.log.shown() is None


async def test_commit_without_records_moves_the_offset(world: World) -> None:
    output = await started(world)

    await output.commit({}, 0)
    assert await world.log.committed() == 0
    await shown_becomes(world.log, 0)
    await output.commit({}, 7)
    assert await world.log.committed() == 7
    await shown_becomes(world.log, 7)
    await output.commit({}, 2)  # operators go back
    assert await world.log.committed() == 2
    await shown_becomes(world.log, 2)


async def test_records_and_offset_become_visible_together(world: World) -> None:
    output = await started(world)
    await output.commit({}, 0)
    call, dead = world.topics.call, world.topics.dead_letter
    assert await world.visible(call) == []

    await output.commit({call: [event(1), event(2)], dead: [Record(None, None, [], 5)]}, 3)

    await visible_becomes(world, call, [event(1), event(2)])
    await visible_becomes(world, dead, [Record(None, None, [], 5)])
    assert await world.log.committed() == 3
    await shown_becomes(world.log, 3)


async def test_transactions_follow_each_other_in_order(world: World) -> None:
    output = await started(world)

    for number in range(5):
        await output.commit({world.topics.call: [event(number)]}, number + 1)

    await visible_becomes(world, world.topics.call, [event(number) for number in range(5)])
    assert await world.log.committed() == 5
    await shown_becomes(world.log, 5)


async def test_second_start_fences_the_first_and_nothing_of_it_is_seen(world: World) -> None:
    first = await started(world)
    await first.commit({world.topics.call: [event(1)]}, 1)
    second = await started(world)

    with pytest.raises(FencedError):
        await first.commit({world.topics.call: [event(2)]}, 2)

    assert await world.log.committed() == 1
    await second.commit({world.topics.call: [event(3)]}, 3)
    await visible_becomes(world, world.topics.call, [event(1), event(3)])
    assert await world.log.committed() == 3
    await shown_becomes(world.log, 3)


async def test_takeover_sees_the_predecessors_last_commit(world: World) -> None:
    for number in range(10):
        output = await started(world)

        assert await world.log.committed() == (number or None)
        await output.commit({world.topics.call: [event(number)]}, number + 1)


async def test_fetch_is_in_order_from_the_position(world: World) -> None:
    await world.append(*(b"%d" % number for number in range(20)))
    world.log.seek(0)

    found = await fetch_all(world.log, 20, max_records=7)

    assert [record.value for record in found] == [b"%d" % number for number in range(20)]
    assert [record.offset for record in found] == list(range(20))
    assert {record.key for record in found} == {b"key"}
    assert {tuple(record.headers) for record in found} == {(("endpoint", b"call-ended"),)}
    assert all(record.timestamp > 0 for record in found)
    assert await world.log.position() == 20


async def test_fetch_brings_no_more_than_asked_for(world: World) -> None:
    await world.append(*(b"%d" % number for number in range(10)))
    world.log.seek(0)

    assert len(await fetch_all(world.log, 1, max_records=3)) == 3


async def test_fetch_that_does_not_wait_brings_what_is_at_hand(world: World) -> None:
    await world.append(*(b"%d" % number for number in range(10)))
    world.log.seek(0)
    found = await fetch_all(world.log, 1, max_records=3)

    found += await world.log.fetch(5, wait=False)
    found += await world.log.fetch(5, wait=False)

    assert [record.offset for record in found] == list(range(10))
    assert list(await world.log.fetch(5, wait=False)) == []


async def test_seek_moves_the_position_both_ways(world: World) -> None:
    await world.append(*(b"%d" % number for number in range(10)))

    for offset in (8, 2, 9, 0):
        world.log.seek(offset)
        assert await world.log.position() == offset
        assert (await fetch_all(world.log, 1, max_records=1))[0].offset == offset


async def test_idle_fetch_is_empty_and_what_comes_later_is_fetched(world: World) -> None:
    await world.append(b"1")
    world.log.seek(1)
    assert list(await world.log.fetch(10)) == []

    await world.append(b"2")

    assert [record.value for record in await fetch_all(world.log, 1)] == [b"2"]


async def test_bounds_are_the_logs(world: World) -> None:
    assert await world.log.bounds() == Bounds(0, 0)

    await world.append(b"1", b"2", b"3")

    assert await world.log.bounds() == Bounds(0, 3)


async def test_position_outside_the_log_is_refused(world: World) -> None:
    await world.append(b"1", b"2", b"3")
    world.log.seek(99)

    async def refused() -> bool:
        try:
            await world.log.fetch(10)
        except RefusedError:
            return True
        return False

    await until(refused, what="the refusal")


async def test_largest_record_goes_through_with_its_headers(world: World) -> None:
    output = await started(world)
    body = b"x" * (19 * MAX_MESSAGE_BYTES // 20)  # 1.9 MiB
    large = Record(b"key", body, [("__dlq.errors.message", b"m" * 1000)] * 10, 1_767_366_000_000)

    await output.commit({world.topics.dead_letter: [event(1), large, event(2), large, event(3)]}, 5)

    await visible_becomes(world, world.topics.dead_letter, [event(1), large, event(2), large, event(3)])


async def test_refused_record_fails_its_transaction_and_nothing_of_it_is_seen(world: World) -> None:
    output = await started(world)
    await output.commit({}, 0)
    too_large = Record(b"key", b"x" * (MAX_OUTPUT_BYTES + 1), [], 1_767_366_000_000)

    with pytest.raises(PublishError):  # the broker itself would commit the rest, and the offset
        await output.commit({world.topics.call: [event(1)], world.topics.dead_letter: [too_large]}, 2)

    successor = await started(world)
    assert await world.log.committed() == 0
    await successor.commit({world.topics.call: [event(2)]}, 2)
    await visible_becomes(world, world.topics.call, [event(2)])
    assert await world.visible(world.topics.dead_letter) == []


async def test_transaction_that_is_not_ended_shows_nothing_and_a_successor_ends_it(world: World) -> None:
    output, gate = world.output(), Gate()
    await output.start()
    await output.commit({}, 0)
    assert await world.log.committed() == 0
    await shown_becomes(world.log, 0)
    world.hold_end(output, gate)

    frozen = asyncio.create_task(output.commit({world.topics.call: [event(1)]}, 1))
    await gate.held.wait()

    assert await world.log.shown() == 0
    assert await world.visible(world.topics.call) == []
    successor = await started(world)
    assert await world.log.committed() == 0
    gate.open()
    with pytest.raises(FencedError):
        await frozen
    await successor.commit({world.topics.call: [event(2)]}, 1)
    await visible_becomes(world, world.topics.call, [event(2)])
    assert await world.log.committed() == 1
    await shown_becomes(world.log, 1)


async def test_many_kafka_batches_of_one_transaction_keep_their_order(world: World) -> None:
    output = await started(world)
    records = [
        Record(b"key", b"%06d" % number + b"x" * 2000, [], 1_767_366_000_000) for number in range(2000)
    ]  # 4 MB, eight batches

    await output.commit({world.topics.call: records, world.topics.recording: records[:900]}, 2000)

    await visible_becomes(world, world.topics.call, records)
    await visible_becomes(world, world.topics.recording, records[:900])


async def test_raw_record_of_the_largest_size_is_fetched(world: World) -> None:
    body = b"x" * (19 * MAX_MESSAGE_BYTES // 20)
    await world.append(b"1", body, b"2")
    world.log.seek(0)

    assert [record.value for record in await fetch_all(world.log, 3)] == [b"1", body, b"2"]


async def test_fencing_holds_while_both_commit_at_once(world: World) -> None:
    first = await started(world)
    await first.commit({}, 0)
    second = world.output()

    async def commit_until_fenced() -> int:
        done = 0
        while True:
            try:
                await first.commit({world.topics.call: [event(done)]}, done + 1)
            except FencedError:
                return done
            done += 1

    racing = asyncio.create_task(commit_until_fenced())
    await second.start()
    committed = await world.log.committed()

    done = await racing
    assert committed == done  # what the first believes is what the second has seen
    await visible_becomes(world, world.topics.call, [event(number) for number in range(done)])
