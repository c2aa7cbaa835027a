"""`lag` on a real broker: commits, records and timestamps as they are there."""

import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.kit.errors import NotFoundError
from ops.lag.read import read_lag
from processors.kafka_offsets import offset_key, offset_value
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames
from tests.support.kafka import connect

GROUP_SUFFIX = "group"


async def write(bootstrap_servers: str, topic: str, partition: int, count: int) -> None:
    async with AIOKafkaProducer(**connect(bootstrap_servers)) as producer:
        for number in range(count):
            await producer.send_and_wait(topic, str(number).encode(), partition=partition)


async def commit(bootstrap_servers: str, group: str, offsets: dict[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(**connect(bootstrap_servers), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


async def test_lag_counts_what_is_not_committed_and_dates_it(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    group = topics.prefix + GROUP_SUFFIX
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)
    before = time.time()
    await write(kafka_bootstrap_servers, topics.raw, 0, 5)
    await write(kafka_bootstrap_servers, topics.raw, 1, 3)
    await commit(kafka_bootstrap_servers, group, {TopicPartition(topics.raw, 0): 2, TopicPartition(topics.raw, 2): 0})

    lag = await read_lag(settings, group=group, topic=topics.raw)

    found = [(item.partition, item.committed, item.log_end, item.lag_records) for item in lag.partitions]
    assert found == [(0, 2, 5, 3), (1, None, 3, 3), (2, 0, 0, 0)]
    assert lag.state == "Empty"
    first, second, third = (item.lag_seconds for item in lag.partitions)
    assert third == 0.0
    assert first is not None
    assert second is not None
    assert 0.0 <= second <= first <= time.time() - before + 1
    assert lag.worst_partition is not None


async def test_processors_are_where_their_own_record_says(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    group = topics.prefix + GROUP_SUFFIX
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)
    await write(kafka_bootstrap_servers, topics.raw, 1, 4)
    place = TopicPartition(topics.raw, 1)
    await commit(kafka_bootstrap_servers, group, {place: 2})  # outdated
    async with AIOKafkaProducer(**connect(kafka_bootstrap_servers)) as producer:
        await producer.send_and_wait(topics.offset, offset_value(3), offset_key(group, place), partition=1)

    shown = await read_lag(settings, group=group, topic=topics.raw)
    own = await read_lag(settings, group=group, topic=topics.raw, own_topic=topics.offset)

    assert [found.partitions[1].committed for found in (shown, own)] == [2, 3]
    assert (own.lag_records, own.partitions[0].committed) == (1, None)


async def test_a_group_that_has_caught_up_has_no_lag(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    group = topics.prefix + GROUP_SUFFIX
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)
    await write(kafka_bootstrap_servers, topics.raw, 1, 4)
    await commit(kafka_bootstrap_servers, group, {TopicPartition(topics.raw, 1): 4})

    lag = await read_lag(settings, group=group, topic=topics.raw)

    assert (lag.lag_records, lag.lag_seconds, lag.worst_partition) == (0, 0.0, None)


async def test_an_unknown_group_is_said_to_be_unknown(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topics.prefix)

    with pytest.raises(NotFoundError, match="no consumer group typo"):
        await read_lag(settings, group="typo", topic=topics.raw)


async def test_an_unknown_topic_is_said_to_be_unknown(kafka_bootstrap_servers: str, topic_prefix: str) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka_bootstrap_servers, kafka_topic_prefix=topic_prefix)

    with pytest.raises(NotFoundError, match="topics apply"):
        await read_lag(settings, group="any", topic=TopicNames(topic_prefix).raw)
