"""The group's committed offset moved behind our back, by Kafka's tools or a broker that forgot: nothing follows it."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.kafka import connect, store
from tests.support.processes import Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

FORGOTTEN = 3


async def move(place: Place, offsets: dict[int, int]) -> None:
    """What `kafka-consumer-groups.sh --reset-offsets` does while nobody is in the group."""
    consumer = AIOKafkaConsumer(**connect(place.bootstrap_servers), group_id=place.group, enable_auto_commit=False)
    await consumer.start()
    try:
        wanted = {TopicPartition(place.topics.raw, number): offset for number, offset in offsets.items()}
        consumer.assign(list(wanted))
        await consumer.commit(wanted)
    finally:
        await consumer.stop()


@pytest.mark.parametrize("to", ["back", "forward"])
async def test_processors_go_on_where_they_were_and_correct_what_is_shown(
    place: Place, programs: Programs, to: str
) -> None:
    webhooks = list(traffic(seed=72, calls=300))
    half = len(webhooks) // 2
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks[:half])
    first = programs.processor()
    await processed(place, count)
    assert first.stop() == 0
    before = await committed_offsets(place)

    if to == "back":
        await move(place, {number: FORGOTTEN for number, offset in before.items() if offset > FORGOTTEN})
        count += await store(place.bootstrap_servers, place.topics.raw, webhooks[half:])
    else:
        count += await store(place.bootstrap_servers, place.topics.raw, webhooks[half:])
        await move(place, {number: offset + 1 for number, offset in before.items()})
    assert await committed_offsets(place) != before
    second = programs.processor()

    async def corrected() -> bool:
        return "partition.offset_corrected" in second.log.read_text()

    await until(corrected, what="a corrected offset")
    await processed(place, count)
    await judge(place)
