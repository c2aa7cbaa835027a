"""Reading the processors' own record of how far they are, from a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from processors.kafka_offsets import LOOK_BACK, LOOK_BACK_FURTHER, offset_key, offset_value, read_offsets
from schemas.topics import TopicNames
from tests.support.kafka import grow, producer


class Place:
    def __init__(self, servers: str, topics: TopicNames) -> None:
        self.options = {"bootstrap_servers": servers}
        self.topic = topics.offset
        self.group = f"{topics.raw}.offsets"
        self.sources = [TopicPartition(topics.raw, number) for number in range(2)]

    async def read(self, *, wait: bool = True) -> dict[TopicPartition, int | None]:
        found = await read_offsets(self.options, self.topic, self.group, self.sources, wait=wait)
        return {source: record.offset for source, record in found.items()}

    async def records(self) -> dict[TopicPartition, tuple[TopicPartition, int | None]]:
        found = await read_offsets(self.options, self.topic, self.group, self.sources)
        return {source: (record.place, record.offset) for source, record in found.items()}

    async def write(
        self, client: AIOKafkaProducer, number: int, offset: int, *, group: str = "", partition: int | None = None
    ) -> None:
        key = offset_key(group or self.group, self.sources[number])
        where = number if partition is None else partition
        await client.send_and_wait(self.topic, offset_value(offset), key, partition=where)

    @asynccontextmanager
    async def transactional(self) -> AsyncIterator[AIOKafkaProducer]:
        client = AIOKafkaProducer(**self.options, transactional_id=self.group)
        await client.start()
        try:
            yield client
        finally:
            await client.stop()


@pytest.fixture
def place(kafka_bootstrap_servers: str, topics: TopicNames) -> Place:
    return Place(kafka_bootstrap_servers, topics)


async def test_the_last_record_of_each_partition_counts_and_other_groups_are_others(place: Place) -> None:
    first, second = place.sources
    assert await place.read() == {first: None, second: None}

    async with producer(place.options["bootstrap_servers"]) as client:
        await place.write(client, 0, 1)
        await place.write(client, 0, 7)
        await place.write(client, 0, 9, group="another")
        await place.write(client, 1, 9, group="another")

    assert await place.read() == {first: 7, second: None}


@pytest.mark.parametrize("others", [LOOK_BACK + 1, LOOK_BACK * LOOK_BACK_FURTHER + 1])
async def test_it_is_found_behind_many_records_of_others(place: Place, others: int) -> None:
    first, second = place.sources
    async with producer(place.options["bootstrap_servers"]) as client:
        await place.write(client, 0, 7)
        for _ in range(others):
            await client.send(place.topic, b"3", offset_key("another", first), partition=0)
        await client.flush()
        await place.write(client, 1, 8)

    assert await place.read() == {first: 7, second: 8}


async def test_a_topic_that_is_missing_is_an_error_at_once(place: Place) -> None:
    place.topic += ".missing"

    with pytest.raises(UnknownTopicOrPartitionError, match="missing"):
        await place.read()


async def test_records_about_partitions_that_the_topic_lacks_are_in_partition_0_and_stay_there(place: Place) -> None:
    """Whatever grows when: a place that moved could be missed by who asks a broker that does not know of it yet."""
    first, surplus = place.sources[0], TopicPartition(place.sources[0].topic, 5)
    place.sources = [first, surplus]
    own, shared = TopicPartition(place.topic, 5), TopicPartition(place.topic, 0)

    assert await place.records() == {first: (shared, None), surplus: (shared, None)}
    async with producer(place.options["bootstrap_servers"]) as client:
        await place.write(client, 0, 3)
        await place.write(client, 1, 7, partition=0)
    assert await place.records() == {first: (shared, 3), surplus: (shared, 7)}

    await grow(place.options["bootstrap_servers"], [place.topic], partitions=6)
    assert await place.records() == {first: (shared, 3), surplus: (shared, 7)}

    place.group += ".new"
    assert await place.records() == {first: (shared, None), surplus: (own, None)}
    async with producer(place.options["bootstrap_servers"]) as client:
        await place.write(client, 1, 9, partition=5)
    assert await place.records() == {first: (shared, None), surplus: (own, 9)}


async def test_what_was_aborted_does_not_count(place: Place) -> None:
    first, second = place.sources
    async with place.transactional() as client:
        async with client.transaction():
            await place.write(client, 0, 5)
        await client.begin_transaction()
        await place.write(client, 0, 6)
        await client.abort_transaction()

    assert await place.read() == {first: 5, second: None}


async def test_an_open_transaction_is_waited_for(place: Place) -> None:
    first, second = place.sources
    async with place.transactional() as client:
        async with client.transaction():
            await place.write(client, 0, 5)
        await client.begin_transaction()
        await place.write(client, 0, 6)

        reading = asyncio.create_task(place.read())
        done, _ = await asyncio.wait([reading], timeout=1.0)
        assert not done  # it could only have answered 5 by now
        assert await place.read(wait=False) == {first: 5, second: None}
        await client.commit_transaction()

        assert await reading == {first: 6, second: None}
