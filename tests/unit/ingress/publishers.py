"""The in-memory publisher, and the suite that it and the one on Kafka must both pass."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass

import pytest

from ingress.ports import OutgoingRecord, Publisher
from runtime.errors import PublishError
from schemas.topics import MAX_BODY_BYTES, MAX_MESSAGE_BYTES, TopicNames

#: A record as stored: partition, key, value, headers.
Stored = tuple[int, bytes | None, bytes, list[tuple[str, bytes]]]


def as_future(sending: Coroutine[None, None, None]) -> asyncio.Future[None]:
    """A future of the caller's own, as a broker's publisher gives; `sending` ends with it."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(sending)

    def settle(task: asyncio.Task[None]) -> None:
        if future.done():
            return
        if task.cancelled():
            future.cancel()
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(None)

    task.add_done_callback(settle)
    future.add_done_callback(lambda _: task.cancel())
    return future


class MemoryPublisher:
    """Keeps records in lists. `hold` makes publishing wait, `fail` makes it fail."""

    def __init__(self, topics: Iterable[str], partitions: int = 3) -> None:
        self.stored: dict[str, list[Stored]] = {topic: [] for topic in topics}
        self.waiting = 0
        self.fail: Exception | None = None
        self._partitions = partitions
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def publish(self, record: OutgoingRecord) -> asyncio.Future[None]:
        return as_future(self._publish(record))

    async def _publish(self, record: OutgoingRecord) -> None:
        self.waiting += 1
        await self._open.wait()
        self.waiting -= 1
        if self.fail is not None:
            raise self.fail
        if record.topic not in self.stored:
            raise PublishError(f"no topic {record.topic}")
        if len(record.value) > MAX_MESSAGE_BYTES:
            raise PublishError("too large")
        partition = zlib.crc32(record.key or b"") % self._partitions
        self.stored[record.topic].append((partition, record.key, record.value, record.headers))


@dataclass
class Subject:
    """A publisher under test, and a way to read what it stored."""

    publisher: Publisher
    topics: TopicNames
    read: Callable[[str], Awaitable[list[Stored]]]


class PublisherContract:
    """What every publisher does. A subclass brings the fixture `subject`."""

    @pytest.fixture
    async def subject(self) -> Subject:
        raise NotImplementedError

    async def test_record_is_stored_verbatim(self, subject: Subject) -> None:
        headers = [("request-id", b"1"), ("endpoint", b"call-started"), ("empty", b"")]

        await subject.publisher.publish(
            OutgoingRecord(subject.topics.raw, "clé".encode(), b"\x00\xff not json", headers)
        )

        [(_, key, value, stored_headers)] = await subject.read(subject.topics.raw)
        assert (key, value, stored_headers) == ("clé".encode(), b"\x00\xff not json", headers)

    async def test_record_without_key_is_stored(self, subject: Subject) -> None:
        await subject.publisher.publish(OutgoingRecord(subject.topics.dead_letter, None, b"body", []))

        [(_, key, value, _)] = await subject.read(subject.topics.dead_letter)
        assert (key, value) == (None, b"body")

    async def test_empty_body_is_stored(self, subject: Subject) -> None:
        await subject.publisher.publish(OutgoingRecord(subject.topics.dead_letter, None, b"", []))

        [(_, _, value, _)] = await subject.read(subject.topics.dead_letter)
        assert value == b""

    async def test_records_of_a_key_keep_their_order_in_one_partition(self, subject: Subject) -> None:
        keys = [b"call-a", b"call-b", b"call-c"]
        for number in range(30):
            await subject.publisher.publish(OutgoingRecord(subject.topics.raw, keys[number % 3], b"%d" % number, []))

        records = await subject.read(subject.topics.raw)

        for index, key in enumerate(keys):
            mine = [(partition, int(value)) for partition, stored_key, value, _ in records if stored_key == key]
            assert len({partition for partition, _ in mine}) == 1
            assert [number for _, number in mine] == list(range(index, 30, 3))

    async def test_concurrent_records_are_all_stored(self, subject: Subject) -> None:
        records = [OutgoingRecord(subject.topics.raw, b"%d" % number, b"x" * 1000, []) for number in range(500)]

        await asyncio.gather(*(subject.publisher.publish(record) for record in records))

        stored = await subject.read(subject.topics.raw)
        assert sorted(key or b"" for _, key, _, _ in stored) == sorted(record.key or b"" for record in records)

    async def test_largest_body_is_stored(self, subject: Subject) -> None:
        body = b"x" * MAX_BODY_BYTES

        await subject.publisher.publish(
            OutgoingRecord(subject.topics.raw, b"k" * 512, body, [("header", b"v" * 16 * 1024)])
        )

        [(_, _, value, _)] = await subject.read(subject.topics.raw)
        assert value == body

    async def test_record_too_large_fails_alone(self, subject: Subject) -> None:
        with pytest.raises(PublishError):
            await subject.publisher.publish(
                OutgoingRecord(subject.topics.raw, b"k", b"x" * (MAX_MESSAGE_BYTES + 1), [])
            )
        await subject.publisher.publish(OutgoingRecord(subject.topics.raw, b"k", b"next", []))

        assert [value for _, _, value, _ in await subject.read(subject.topics.raw)] == [b"next"]

    async def test_record_for_an_unknown_topic_fails_alone(self, subject: Subject) -> None:
        with pytest.raises(PublishError):
            await subject.publisher.publish(OutgoingRecord(f"{subject.topics.raw}.absent", b"k", b"x", []))
        await subject.publisher.publish(OutgoingRecord(subject.topics.raw, b"k", b"next", []))

        assert [value for _, _, value, _ in await subject.read(subject.topics.raw)] == [b"next"]
