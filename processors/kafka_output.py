"""Writes the events and the offset of one partition to Kafka in transactions.

The client's transactional offset commit carries no group generation, so the group cannot fence a zombie; a
transactional id per input partition does: the next owner's start() makes every earlier producer of that id powerless.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    NodeNotReadyError,
    ProducerFenced,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)

from processors.kafka_offsets import offset_key, offset_value, transactional_id
from processors.model import Written
from runtime import aiokafka_fixes
from runtime.broker_errors import broker_words
from runtime.errors import FencedError, PublishError
from runtime.kafka import close_producer
from schemas.placement import output_partition

BATCH_BYTES = 1024 * 1024
TRANSACTION_TIMEOUT_MS = 30_000  # the broker ends an open transaction after this; it holds nothing but sends
START_SECONDS = 30.0
COMMIT_SECONDS = 20.0  # below the transaction's timeout, so that we give up before the broker does

#: Where the record of the offset goes.
OffsetPlace: TypeAlias = Callable[[], TopicPartition]

_OF_TRANSACTIONS = (AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest)


async def require_known(producer: AIOKafkaProducer, place: TopicPartition) -> None:
    """Refuse a partition that the client does not know, as of a topic that has just grown: it only has an assertion.

    Raises:
        UnknownTopicOrPartitionError: it does not know this one; another client, a little later, may.
    """
    if place.partition not in await producer.partitions_for(place.topic):
        raise UnknownTopicOrPartitionError(f"{place.topic} has no partition {place.partition} yet")


class KafkaOutput:
    """Commits by one producer. After any exception nothing but stop() may be called: see docs/design.md."""

    def __init__(self, options: Mapping[str, Any], *, group: str, source: TopicPartition, place: OffsetPlace) -> None:
        """`place` tells where the record of the offset goes, once the last one was read."""
        self._producer = AIOKafkaProducer(
            **options,
            transactional_id=transactional_id(group, source),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        self._group = group
        self._source = source
        self._place = place
        self._partitions: dict[str, int] = {}  # where each topic's records go, the same for this producer's life
        self._key = offset_key(group, source)
        self._unanswered = False
        self._send = self._producer.client.send
        self._producer.client.send = self._watched

    async def start(self) -> None:
        async with self._converted(START_SECONDS):
            await self._producer.start()

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        """Commit once every acknowledgement came: the client would commit although a send failed."""
        async with self._converted(COMMIT_SECONDS):
            place = self._place()
            await require_known(self._producer, place)
            await self._producer.begin_transaction()
            # Now, so that it joins the transaction in the same request as the other partitions do.
            self._manager.maybe_add_partition_to_txn(place)
            acknowledgements = []
            for topic, of_topic in records.items():
                partition = await self._partition_of(topic)
                for batch in self._batches(of_topic):
                    sent = await self._producer.send_batch(batch, topic, partition=partition)
                    acknowledgements.append(sent)
            await asyncio.gather(*acknowledgements)
            # Last: a torn transaction would then repeat records rather than lose them.
            written = await self._send_offset(place, next_offset)
            await self._producer.send_offsets_to_transaction({self._source: next_offset}, self._group)
            await written
            await self._producer.commit_transaction()
        self._require_answers()

    async def stop(self) -> None:
        await close_producer(self._producer)

    async def _watched(self, node: int, request: Any, **options: Any) -> Any:
        """Send a request of the producer, and note a lost answer: the client sends it again, and tells nobody."""
        try:
            return await self._send(node, request, **options)
        except NodeNotReadyError:  # it was not sent
            raise
        except KafkaError:
            self._unanswered = self._unanswered or isinstance(request, _OF_TRANSACTIONS)
            raise

    def _require_answers(self) -> None:
        """Give the producer up if a request is still under way: it could end the next transaction or move its offset.

        KAFKA-17754: the protocol cannot tell the transactions of one producer apart; a new one has a new epoch.

        Raises:
            PublishError: there may be one, so this producer had its last transaction.
        """
        if self._unanswered:
            raise PublishError("a request of the transaction was sent twice; it may arrive again in the next one")

    async def _partition_of(self, topic: str) -> int:
        if topic not in self._partitions:
            known = await self._producer.partitions_for(topic)
            self._partitions[topic] = output_partition(self._source.partition, len(known))
        return self._partitions[topic]

    async def _send_offset(self, place: TopicPartition, next_offset: int) -> Awaitable[Any]:
        batch = self._producer.create_batch()
        batch.append(key=self._key, value=offset_value(next_offset), timestamp=None)
        batch.close()
        sent: Awaitable[Any] = await self._producer.send_batch(batch, place.topic, partition=place.partition)
        return sent

    @property
    def _manager(self) -> Any:
        return aiokafka_fixes.transactions_of(self._producer)

    def _batches(self, records: Sequence[Written]) -> Iterator[BatchBuilder]:
        """Batches in order, each made when the one before is on its way; a record larger than one gets its own."""
        batch = self._producer.create_batch()
        for record in records:
            while (
                batch.append(key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=record.headers)
                is None
            ):
                batch.close()
                yield batch
                batch = self._producer.create_batch()
        batch.close()
        yield batch

    @asynccontextmanager
    async def _converted(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise PublishError(f"Kafka did not answer within {seconds:g} s") from error
        except (KafkaError, IllegalOperation) as error:
            cause = self._cause(error)
            if isinstance(cause, ProducerFenced | InvalidProducerEpoch):
                raise FencedError("another process took the partition over") from error
            raise PublishError(f"Kafka: {broker_words(cause, transaction_ms=TRANSACTION_TIMEOUT_MS)}") from error

    def _cause(self, error: Exception) -> BaseException:
        """Find why the producer is dead: once it is, each further call only says that there is no transaction."""
        ended = self._manager.wait_for_transaction_end()
        if self._manager.is_fatal_error() and ended is not None and ended.done():
            return ended.exception() or error
        return error
