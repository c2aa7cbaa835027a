"""Batches on their way to brokers that a test plays: one request at a time, order, retries, deadlines, giving up."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from aiokafka.record.memory_records import MemoryRecords
from prometheus_client import CollectorRegistry

from ingress.kafka.accumulator import RecordAccumulator
from ingress.metrics import IngressMetrics
from ingress.ports import OutgoingRecord
from runtime.errors import PublishError, RecordRefusedError
from tests.support.waiting import until

TOPIC = "raw"
OK = 0


@dataclass
class Request:
    """One request at a broker; `answer` or `fail` ends it."""

    broker: int
    values: dict[int, list[bytes]]
    outcome: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, **codes: int) -> None:
        """Acknowledge; `p1=5` answers partition 1 with error 5."""
        partitions = [(number, codes.get(f"p{number}", OK), 0, -1, 0) for number in self.values]
        self.outcome.set_result(SimpleNamespace(topics=[(TOPIC, partitions)]))

    def fail(self, error: KafkaError) -> None:
        self.outcome.set_exception(error)


class Brokers:
    """A client and its cluster: partition `n` is led by broker `leaders[n]`."""

    def __init__(self, leaders: dict[int, int]) -> None:
        self.leaders = leaders
        self.requests: list[Request] = []
        self.topics = {TOPIC}
        self.unauthorized_topics: set[str] = set()
        self.updates = 0

    @property
    def cluster(self) -> "Brokers":
        return self

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(self.leaders) if topic in self.topics else None

    def leader_for_partition(self, place: TopicPartition) -> int | None:
        return self.leaders[place.partition]

    def force_metadata_update(self) -> "asyncio.Future[bool]":
        self.updates += 1
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    def add_topic(self, _topic: str) -> "asyncio.Future[bool]":
        return self.force_metadata_update()

    async def send(self, broker: int, request: Any) -> Any:
        values = {
            partition: [record.value for record in _records(data)]
            for _, partitions in request._topics
            for partition, data in partitions
        }
        mine = Request(broker, values)
        self.requests.append(mine)
        return await mine.outcome

    async def request(self, number: int) -> Request:
        async def there() -> Request | None:
            return self.requests[number] if len(self.requests) > number else None

        found = await until(there, seconds=5, what=f"request {number}")
        assert found is not None
        return found


def _records(data: bytes) -> list[Any]:
    batches = MemoryRecords(bytes(data))
    found: list[Any] = []
    while (batch := batches.next_batch()) is not None:
        found += list(batch)
    return found


@dataclass
class Sending:
    brokers: Brokers
    accumulator: RecordAccumulator
    task: asyncio.Task[None]
    judged: list[tuple[str, Exception]]


@asynccontextmanager
async def sending(
    leaders: dict[int, int], *, timeout: float = 60, retry: float = 50, spread: int | None = 1000
) -> AsyncIterator[Sending]:
    brokers = Brokers(leaders)
    judged: list[tuple[str, Exception]] = []

    def judge(topic: str, error: Exception) -> PublishError:
        judged.append((topic, error))
        if isinstance(error, MessageSizeTooLargeError | TopicAuthorizationFailedError):
            return RecordRefusedError("refused")
        return PublishError("failed")

    client: Any = brokers
    metrics = IngressMetrics(CollectorRegistry())
    accumulator = RecordAccumulator(
        client,
        timeout_seconds=timeout,
        retry_seconds=retry,
        judge=judge,
        spread=lambda _client: spread,
        metrics=metrics,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(accumulator.run())
        yield Sending(brokers, accumulator, task, judged)
        task.cancel()


def record(value: bytes, partition: int = 0) -> OutgoingRecord:
    keys = {0: b"f", 1: b"a", 2: b"b"}
    return OutgoingRecord(TOPIC, keys[partition], value, [])


def test_keys_are_of_their_partitions() -> None:
    from schemas.placement import partition_of  # noqa: PLC0415 - only here

    assert [partition_of(record(b"", number).key or b"", [0, 1, 2]) for number in range(3)] == [0, 1, 2]


async def test_keys_are_spread_over_no_more_partitions_than_they_may_be() -> None:
    async with sending({0: 7, 1: 7, 2: 7, 3: 7, 4: 7, 5: 7}, spread=3) as run:
        for number in range(3):
            run.accumulator.add(record(b"%d" % number, number))

        request = await run.brokers.request(0)
        assert request.values == {0: [b"0"], 1: [b"1"], 2: [b"2"]}
        request.answer()


async def test_keys_go_nowhere_while_it_is_not_known_over_how_many_partitions_they_are_spread() -> None:
    async with sending({0: 7}, retry=0.2, spread=None) as run:
        with pytest.raises(PublishError):
            await run.accumulator.add(record(b"1"))

        assert run.brokers.requests == []


async def test_records_that_arrive_together_travel_together() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        futures = [run.accumulator.add(record(b"%d" % number, number % 2)) for number in range(6)]
        request = await run.brokers.request(0)
        assert (request.broker, request.values) == (7, {0: [b"0", b"2", b"4"], 1: [b"1", b"3", b"5"]})
        assert not any(future.done() for future in futures)

        request.answer()
        await asyncio.gather(*futures)
        assert len(run.brokers.requests) == 1


async def test_one_request_at_a_time_and_the_next_one_fills_meanwhile() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        first = run.accumulator.add(record(b"1"))
        request = await run.brokers.request(0)
        later = [run.accumulator.add(record(b"%d" % number, number % 2)) for number in range(2, 6)]
        await asyncio.sleep(0.02)  # ticks
        assert len(run.brokers.requests) == 1

        request.answer()
        await first
        second = await run.brokers.request(1)
        assert second.values == {0: [b"2", b"4"], 1: [b"3", b"5"]}
        second.answer()
        await asyncio.gather(*later)


async def test_broker_that_is_silent_holds_up_its_own_partitions_only() -> None:
    async with sending({0: 7, 1: 8, 2: 8}) as run:
        stuck = run.accumulator.add(record(b"0", 0))
        await run.brokers.request(0)
        free = run.accumulator.add(record(b"1", 1))
        request = await run.brokers.request(1)
        assert (request.broker, request.values) == (8, {1: [b"1"]})
        request.answer()
        await free
        assert not stuck.done()


@pytest.mark.parametrize("error", [6, "connection"], ids=["not the leader", "connection broken"])
async def test_passing_error_is_tried_again_before_what_came_later(error: int | str) -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        first = run.accumulator.add(record(b"1"))
        request = await run.brokers.request(0)
        second = run.accumulator.add(record(b"2"))
        if error == "connection":
            request.fail(KafkaConnectionError("broken"))
        else:
            request.answer(p0=NotLeaderForPartitionError.errno)
        again = await run.brokers.request(1)
        assert again.values == {0: [b"1"]}
        assert run.brokers.updates == 1
        again.answer()
        await first
        last = await run.brokers.request(2)
        assert last.values == {0: [b"2"]}
        last.answer()
        await second
        assert run.judged == []


async def test_retry_goes_to_the_new_leader() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        future = run.accumulator.add(record(b"1"))
        request = await run.brokers.request(0)
        run.brokers.leaders[0] = 8
        request.answer(p0=NotLeaderForPartitionError.errno)

        again = await run.brokers.request(1)
        assert again.broker == 8
        again.answer()
        await future


async def test_partition_without_a_leader_waits_for_one() -> None:
    async with sending({0: -1, 1: 7, 2: 7}) as run:
        waiting, free = run.accumulator.add(record(b"0", 0)), run.accumulator.add(record(b"1", 1))
        request = await run.brokers.request(0)
        assert request.values == {1: [b"1"]}
        request.answer()
        await free
        run.brokers.leaders[0] = 8

        (await run.brokers.request(1)).answer()
        await waiting


async def test_refusal_fails_its_batch_and_no_other() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        refused = [run.accumulator.add(record(b"%d" % number, 0)) for number in range(2)]
        fine = run.accumulator.add(record(b"3", 1))
        (await run.brokers.request(0)).answer(p0=TopicAuthorizationFailedError.errno)

        await fine
        for future in refused:
            with pytest.raises(RecordRefusedError):
                await future
        assert [type(error) for _, error in run.judged] == [TopicAuthorizationFailedError]


async def test_unexpected_error_fails_its_request_and_the_sender_goes_on() -> None:
    async with sending({0: 7, 1: 8, 2: 8}) as run:
        failed, fine = run.accumulator.add(record(b"1", 0)), run.accumulator.add(record(b"2", 1))
        requests = [await run.brokers.request(number) for number in range(2)]
        for request in requests:
            if request.broker == 7:
                request.outcome.set_exception(ValueError(b"1"))
            else:
                request.answer()

        await fine
        with pytest.raises(PublishError):
            await failed
        [(_, judged)] = run.judged
        assert "unexpected ValueError at " in str(judged)
        again = run.accumulator.add(record(b"3", 0))
        (await run.brokers.request(2)).answer()
        await again


async def test_too_large_record_joins_no_batch() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        fine = run.accumulator.add(record(b"1"))
        with pytest.raises(RecordRefusedError):
            await run.accumulator.add(record(b"x" * 3_000_000))

        (await run.brokers.request(0)).answer()
        await fine


async def test_full_batches_leave_one_after_another() -> None:
    values = [b"%d" % number * 100_000 for number in range(5)]
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        futures = [run.accumulator.add(record(value)) for value in values]
        sent: list[bytes] = []
        for number in range(3):
            request = await run.brokers.request(number)
            sent += request.values[0]
            request.answer()
        await asyncio.gather(*futures)
        assert sent == values


async def test_passing_error_that_does_not_pass_fails() -> None:
    async with sending({0: 7, 1: 7, 2: 7}, retry=0) as run:
        future = run.accumulator.add(record(b"1"))
        (await run.brokers.request(0)).fail(KafkaConnectionError("broken"))

        with pytest.raises(PublishError):
            await future


async def test_nobody_waits_longer_than_the_timeout_and_a_late_answer_is_for_nobody() -> None:
    async with sending({0: 7, 1: 7, 2: 7}, timeout=0.05) as run:
        future = run.accumulator.add(record(b"1"))
        request = await run.brokers.request(0)
        with pytest.raises(PublishError):
            async with asyncio.timeout(2):
                await future
        assert isinstance(run.judged[0][1], TimeoutError)

        request.answer()
        next_one = run.accumulator.add(record(b"2"))
        (await run.brokers.request(1)).answer()
        await next_one


async def test_abandoned_fails_what_was_not_sent_and_ends_with_what_was() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        sent = run.accumulator.add(record(b"1"))
        request = await run.brokers.request(0)
        unsent = [run.accumulator.add(record(b"2", number)) for number in range(3)]
        run.accumulator.abandon(PublishError("given up"))
        for future in unsent:
            with pytest.raises(PublishError):
                await future
        assert not run.task.done()

        request.answer()
        await sent
        await run.task


async def test_who_gave_up_does_not_disturb_the_others() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        gone, waiting = run.accumulator.add(record(b"1")), run.accumulator.add(record(b"2"))
        gone.cancel()
        (await run.brokers.request(0)).answer()
        await waiting


async def test_unknown_topic_is_looked_for() -> None:
    async with sending({0: 7, 1: 7, 2: 7}, retry=5) as run:
        run.brokers.topics.clear()
        future = run.accumulator.add(record(b"1"))
        await asyncio.sleep(0)
        run.brokers.topics.add(TOPIC)

        (await run.brokers.request(0)).answer()
        await future


async def test_topic_that_may_not_be_seen_is_refused() -> None:
    async with sending({0: 7, 1: 7, 2: 7}, retry=5) as run:
        run.brokers.topics.clear()
        run.brokers.unauthorized_topics.add(TOPIC)

        with pytest.raises(RecordRefusedError):
            await run.accumulator.add(record(b"1"))


async def test_records_without_key_go_anywhere() -> None:
    async with sending({0: 7, 1: 7, 2: 7}) as run:
        futures = [run.accumulator.add(OutgoingRecord(TOPIC, None, b"%d" % number, [])) for number in range(100)]
        request = await run.brokers.request(0)
        counts = defaultdict(int, {number: len(values) for number, values in request.values.items()})
        request.answer()
        await asyncio.gather(*futures)
        assert sum(counts.values()) == 100
        assert all(counts[number] for number in range(3))
