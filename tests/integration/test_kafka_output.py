"""The order of requests within a transaction, on a real broker: no outcome shows it, short of a broker's fault."""

from typing import Any

from aiokafka import TopicPartition

from processors.kafka_output import KafkaOutput
from processors.model import Record
from schemas.topics import TopicNames

RECORDS = [Record(b"key", b"%d" % number + b"x" * 600_000, [], 1_767_366_000_000) for number in range(4)]


async def test_offset_joins_the_transaction_when_every_record_is_acknowledged(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    source = TopicPartition(topics.raw, 1)
    output = KafkaOutput({"bootstrap_servers": kafka_bootstrap_servers}, group=f"{topics.raw}.order", source=source)
    await output.start()
    producer = output._producer
    send, add_offset = producer.send_batch, producer.send_offsets_to_transaction
    acknowledgements: list[Any] = []
    acknowledged_before_the_offset: list[list[bool]] = []

    async def noted_send(*arguments: Any, **options: Any) -> Any:
        acknowledgements.append(await send(*arguments, **options))
        return acknowledgements[-1]

    async def noted_add_offset(*arguments: Any) -> None:
        acknowledged_before_the_offset.append([sent.done() for sent in acknowledgements])
        await add_offset(*arguments)

    producer.send_batch, producer.send_offsets_to_transaction = noted_send, noted_add_offset
    await output.commit({topics.call: RECORDS, topics.dead_letter: RECORDS}, 7)
    await output.stop()

    assert len(acknowledgements) == 2 * len(RECORDS)
    assert acknowledged_before_the_offset == [[True] * len(acknowledgements)]
