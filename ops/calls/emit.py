"""Writes events again in one Kafka transaction; commits no group's offsets."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from ops.calls.replay import Outgoing
from ops.kit.errors import OpsError
from ops.kit.kafka import CLIENT_ID, kafka_errors
from processors.kafka_output import require_known
from processors.model import Record
from runtime.broker_errors import broker_words
from runtime.kafka import client_options, close_producer
from runtime.settings import KafkaSettings
from schemas.topics import MAX_OUTPUT_BYTES

START_SECONDS = 30.0
COMMIT_SECONDS = 20.0  # below the transaction's timeout, so that we give up before the broker does
TRANSACTION_TIMEOUT_MS = 30_000


def transactional_id(group: str) -> str:
    """The id that keeps two replays from writing at once; no processor uses it."""
    return f"{group}|replay"


async def emit(settings: KafkaSettings, group: str, outputs: Sequence[Outgoing]) -> list[int]:
    """Write everything, in order, visible all at once; the offsets written to.

    Raises:
        OpsError: nothing is visible to consumers; or, if the broker fell silent while committing, that is not known.
    """
    producer = AIOKafkaProducer(
        **client_options(settings, client_id=CLIENT_ID),
        transactional_id=transactional_id(group),
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        acks="all",
        max_request_size=MAX_OUTPUT_BYTES,
    )
    try:
        with kafka_errors(settings, transaction_ms=TRANSACTION_TIMEOUT_MS):
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
            return await _transaction(producer, outputs)
    finally:
        await close_producer(producer)


async def _transaction(producer: AIOKafkaProducer, outputs: Sequence[Outgoing]) -> list[int]:
    try:
        async with asyncio.timeout(COMMIT_SECONDS):
            for topic, partition, _ in outputs:
                await require_known(producer, TopicPartition(topic, partition))
            await producer.begin_transaction()
            sent = [await _send(producer, *output) for output in outputs]
            # Every acknowledgement is awaited: the client would commit although a send failed.
            written = await asyncio.gather(*sent)
            await producer.commit_transaction()
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise OpsError("another replay of this group began meanwhile; nothing was emitted") from error
    except (TimeoutError, KafkaError, IllegalOperation) as error:
        # After any error the client's transaction is in no known state: it is abandoned, and the broker ends it.
        raise OpsError(
            f"Kafka did not confirm the transaction ({broker_words(error)}): `calls show` tells whether it was written"
        ) from error
    return [place.offset for place in written]


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, record: Record) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = await producer.send(
        topic,
        value=record.value,
        key=record.key,
        partition=partition,
        timestamp_ms=record.timestamp_ms,
        headers=record.headers,
    )
    return future
