"""The requests of a transaction on a real broker: their order, and what is done when an answer is lost."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest

from processors.kafka_output import KafkaOutput
from processors.model import Record
from runtime.errors import PublishError
from schemas.topics import TopicNames
from tests.support.kafka import read_topic

RECORDS = [Record(b"key", b"%d" % number + b"x" * 600_000, [], 1_767_366_000_000) for number in range(4)]


def output_of(servers: str, topics: TopicNames, source: TopicPartition) -> KafkaOutput:
    options = {"bootstrap_servers": servers}
    place = TopicPartition(topics.offset, source.partition)
    return KafkaOutput(options, group=f"{topics.raw}.group", source=source, place=lambda: place)


async def test_offset_joins_the_transaction_when_every_record_is_acknowledged(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    source = TopicPartition(topics.raw, 1)
    output = output_of(kafka_bootstrap_servers, topics, source)
    await output.start()
    producer = output._producer
    send, add_offset, end = producer.send_batch, producer.send_offsets_to_transaction, producer.commit_transaction
    acknowledgements: list[Any] = []
    done_before: dict[str, list[bool]] = {}

    def note(what: str) -> None:
        done_before[what] = [sent.done() for sent in acknowledgements]

    async def noted_send(batch: Any, topic: str, **options: Any) -> Any:
        if topic == topics.offset:
            note("record of the offset")
        acknowledgements.append(await send(batch, topic, **options))
        return acknowledgements[-1]

    async def noted_add_offset(*arguments: Any) -> None:
        note("offset")
        await add_offset(*arguments)

    async def noted_end() -> None:
        note("end")
        await end()

    producer.send_batch, producer.send_offsets_to_transaction = noted_send, noted_add_offset
    producer.commit_transaction = noted_end
    await output.commit({topics.call: RECORDS, topics.dead_letter: RECORDS}, 7)
    await output.stop()

    count = 2 * len(RECORDS)
    assert done_before["record of the offset"] == [True] * count
    assert done_before["offset"][:count] == [True] * count
    assert done_before["end"] == [True] * (count + 1)


@pytest.mark.parametrize("kind", [AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest])
async def test_producer_whose_request_was_sent_twice_had_its_last_transaction(
    kafka_bootstrap_servers: str, topics: TopicNames, kind: Any
) -> None:
    """The client sends it again and goes on; the first one could arrive in the next transaction."""
    source = TopicPartition(topics.raw, 1)
    output = output_of(kafka_bootstrap_servers, topics, source)
    await output.start()
    await output.commit({topics.call: RECORDS[:1]}, 1)
    send = output._send
    lost: list[Any] = []

    async def lose_an_answer(node: int, request: Any, **options: Any) -> Any:
        answer = await send(node, request, **options)
        if isinstance(request, kind) and not lost:
            lost.append(answer)
            raise RequestTimedOutError
        return answer

    output._send = lose_an_answer
    with pytest.raises(PublishError, match="sent twice"):
        await output.commit({topics.call: RECORDS[1:2]}, 2)
    await output.stop()

    assert len(lost) == 1
    assert [record.value for record in await read_topic(kafka_bootstrap_servers, topics.call)] == [
        record.value for record in RECORDS[:2]
    ]
