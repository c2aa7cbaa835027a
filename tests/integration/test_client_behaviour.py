"""What aiokafka does that our rules answer to: one test per behaviour, on a real broker.

These tests are the gate for raising aiokafka's bound in pyproject.toml (`<0.15`): raise it, run this file, read what
fails. A failure here is news, not necessarily harm: the docstring says which rule of docs/design.md stands on the
behaviour, and may then be relaxed. Whoever relaxes it replaces the test by one of the new behaviour.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.protocol import admin as admin_protocol

from ops.kit.groups import Group
from ops.kit.groups_protocol import ListGroupsRequest5
from runtime.kafka import close_consumer, close_producer
from schemas.topics import MAX_OUTPUT_BYTES, TopicNames
from tests.support.kafka import read_topic
from tests.support.waiting import until

DEADLINE_SECONDS = 60  # of one test; each takes a few seconds
SETTLE_SECONDS = 20  # for one thing to happen inside a test
SESSION_MS = 6_000
TOO_LARGE = bytes(MAX_OUTPUT_BYTES + 1)  # the client lets it pass (see `producing`), the broker refuses it


@asynccontextmanager
async def producing(servers: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer whose own size check is out of the way."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", max_request_size=2 * len(TOO_LARGE), linger_ms=0, **options
    )
    try:
        await producer.start()
        yield producer
    finally:
        await close_producer(producer)


@asynccontextmanager
async def consuming(servers: str, group: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer of a group, without a subscription."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=200,
        **options,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await close_consumer(consumer)


async def holds(servers: str, topic: str, expected: list[bytes]) -> None:
    """Wait until a consumer that reads committed sees this; a commit returns before its markers are written."""

    async def ask() -> bool:
        seen[:] = [record.value for record in await read_topic(servers, topic)]
        return seen == expected

    seen: list[bytes] = []
    await until(ask, seconds=SETTLE_SECONDS, what=f"{expected} in {topic}, where now {seen} is,")


async def commits(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
    """Wait until the group's offset is this one: a transaction's offsets appear shortly after its commit returns."""

    async def ask() -> bool:
        return bool(await consumer.committed(partition) == offset)

    await until(ask, seconds=SETTLE_SECONDS, what=f"a committed offset of {offset}")


async def test_a_commit_succeeds_although_a_send_failed(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    """Rule: every acknowledgement is awaited before the offsets go into the transaction (`KafkaOutput.commit`).

    When this fails, aiokafka's commit raises as Java's does: the rule may be relaxed to one `commit_transaction`.
    """
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        producing(kafka_bootstrap_servers, transactional_id=f"{topics.prefix}e1") as producer,
    ):
        await producer.begin_transaction()
        refused = await producer.send(topics.recording, TOO_LARGE, partition=0)
        await producer.send(topics.call, b"companion", partition=0)

        await producer.commit_transaction()

        with pytest.raises(MessageSizeTooLargeError):
            await refused
        await holds(kafka_bootstrap_servers, topics.call, [b"companion"])
        await holds(kafka_bootstrap_servers, topics.recording, [])


async def test_a_failed_batch_poisons_an_idempotent_producers_partition(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    """Rules: the ingress's producer is not idempotent; any exception of a transactional producer ends that producer.

    When this fails, aiokafka resets its sequence numbers (issue 1017): both rules may be looked at again.
    """
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with producing(kafka_bootstrap_servers, enable_idempotence=True) as producer:
            await producer.send_and_wait(topics.call, b"before", partition=0)
            with pytest.raises(MessageSizeTooLargeError):
                await producer.send_and_wait(topics.call, TOO_LARGE, partition=0)

            for _ in range(2):
                with pytest.raises(OutOfOrderSequenceNumber):
                    await producer.send_and_wait(topics.call, b"nothing wrong with it", partition=0)
            await producer.send_and_wait(topics.call, b"elsewhere", partition=1)

        async with producing(kafka_bootstrap_servers, enable_idempotence=True) as another:
            await another.send_and_wait(topics.call, b"after", partition=0)

        await holds(kafka_bootstrap_servers, topics.call, [b"before", b"after", b"elsewhere"])


async def test_a_transaction_of_a_non_member_moves_a_live_groups_offset(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    """Rule: one transactional id per group and input partition fences, since the group does not ("Why it holds", 4).

    When this fails, the commit carries the group's generation (protocol version 3): one producer per process would do.
    """
    group, partition = f"{topics.prefix}e3", TopicPartition(topics.raw, 0)
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        consuming(kafka_bootstrap_servers, group) as member,
        producing(kafka_bootstrap_servers, transactional_id=f"{group}|owner") as owner,
        producing(kafka_bootstrap_servers, transactional_id=f"{group}|stranger") as stranger,
    ):
        member.subscribe([topics.raw])
        await member.getmany(timeout_ms=0)
        await until(lambda: assigned(member, partition), seconds=SETTLE_SECONDS, what="the assignment")
        async with owner.transaction():
            await owner.send_offsets_to_transaction({partition: 5}, group)
        await commits(member, partition, 5)

        async with stranger.transaction():
            await stranger.send_offsets_to_transaction({partition: 3}, group)

        await commits(member, partition, 3)
        assert partition in member.assignment(), "the group was live all the while"


async def assigned(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    return partition in consumer.assignment()


async def test_an_abort_after_an_abortable_error_ends_nothing_at_the_broker(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    """Rule: after any exception nothing but stop() is called on a producer, not even an abort (`KafkaOutput`).

    When this fails, aiokafka's abort reaches the broker: a producer could go on after errors it calls abortable.
    """
    refusal = GroupAuthorizationFailedError("the group")
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        producing(kafka_bootstrap_servers, transactional_id=f"{topics.prefix}e5") as producer,
    ):
        await producer.begin_transaction()
        await producer.send_and_wait(topics.call, b"aborted", partition=0)
        producer._txn_manager.error_transaction(refusal)  # what the client does when the broker refuses the group
        with pytest.raises(GroupAuthorizationFailedError):
            await producer.commit_transaction()
        await producer.abort_transaction()

        async with producer.transaction():
            await producer.send_and_wait(topics.call, b"next", partition=0)

        await holds(kafka_bootstrap_servers, topics.call, [b"aborted", b"next"])


async def test_an_abort_without_an_error_hides_its_records(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    """The counterpart of the test above: it is the error that loses the abort."""
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        producing(kafka_bootstrap_servers, transactional_id=f"{topics.prefix}e5") as producer,
    ):
        await producer.begin_transaction()
        await producer.send_and_wait(topics.call, b"aborted", partition=0)
        await producer.abort_transaction()

        async with producer.transaction():
            await producer.send_and_wait(topics.call, b"next", partition=0)

        await holds(kafka_bootstrap_servers, topics.call, [b"next"])


async def test_a_cancelled_getmany_disables_max_poll_interval(kafka_bootstrap_servers: str, topics: TopicNames) -> None:
    """Rule: a fetch is never cancelled by a deadline (`KafkaLog.fetch`), and progress is watched by ourselves.

    When this fails, `getmany` may be cancelled, and `max_poll_interval_ms` can be relied on.
    """
    groups = [f"{topics.prefix}e7-{name}" for name in ("cancelled", "idle")]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        consuming(kafka_bootstrap_servers, groups[0], max_poll_interval_ms=1_500) as cancelled,
        consuming(kafka_bootstrap_servers, groups[1], max_poll_interval_ms=1_500) as idle,
    ):
        cancelled.subscribe([topics.raw])
        idle.subscribe([topics.raw])
        await admin.start()
        try:
            await until(lambda: polled(admin, groups[0], cancelled), seconds=SETTLE_SECONDS, what="the first to join")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cancelled.getmany(timeout_ms=60_000), 0.01)

            await until(lambda: polled(admin, groups[1], idle), seconds=SETTLE_SECONDS, what="the second to join")

            async def left() -> bool:
                return await members(admin, groups[1]) == 0

            await until(left, seconds=SETTLE_SECONDS, what="the second, never polled again, to leave")
            assert await members(admin, groups[0]) == 1, "not polled for longer, and keeps its partitions"
        finally:
            await admin.close()


async def polled(admin: AIOKafkaAdminClient, group: str, consumer: AIOKafkaConsumer) -> bool:
    """Poll once; whether the consumer is in its group."""
    await consumer.getmany(timeout_ms=0)
    return await members(admin, group) == 1


async def members(admin: AIOKafkaAdminClient, group: str) -> int:
    return len((await Group(admin, group).state()).members)


class Slow(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no type information
    """Does not return from an assignment until it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.returned = False

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing to let go of."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """See the class; bounded, so that a client that waits for it fails the test instead of hanging."""
        self.entered.set()
        async with asyncio.timeout(SETTLE_SECONDS):
            await self.release.wait()
        self.returned = True


async def test_records_arrive_before_on_partitions_assigned_has_returned(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    """Rule: nobody counts on the callback as a gate; each partition has a task of its own that seeks before it fetches.

    When this fails, the callback may do the takeover itself.
    """
    listener = Slow()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        producing(kafka_bootstrap_servers) as producer,
        consuming(kafka_bootstrap_servers, f"{topics.prefix}e8") as consumer,
    ):
        await producer.send_and_wait(topics.raw, b"record", partition=0)
        consumer.subscribe([topics.raw], listener=listener)
        await listener.entered.wait()

        async def fetch() -> dict[TopicPartition, list[Any]]:
            found: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=200)
            return found

        try:
            found = await until(fetch, seconds=SETTLE_SECONDS / 2, what="a record while the callback runs")
            assert not listener.returned
            assert [record.value for records in found.values() for record in records] == [b"record"]
        finally:
            listener.release.set()


async def test_a_new_producer_of_the_same_id_aborts_and_fences_the_old_one(
    kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    """Rule: a takeover starts its producer first; then no open transaction hides or changes the committed offset.

    When this fails, the guarantee is gone: do not upgrade.
    """
    group, partition = f"{topics.prefix}e9", TopicPartition(topics.raw, 0)
    identity = f"{group}|{topics.raw}|0"
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        consuming(kafka_bootstrap_servers, group) as reader,
        producing(kafka_bootstrap_servers, transactional_id=identity) as zombie,
    ):
        await zombie.begin_transaction()
        await zombie.send_and_wait(topics.call, b"zombie", partition=0)
        await zombie.send_offsets_to_transaction({partition: 3}, group)

        async with producing(kafka_bootstrap_servers, transactional_id=identity) as owner:
            with pytest.raises(ProducerFenced):
                await zombie.commit_transaction()
            async with owner.transaction():
                await owner.send_and_wait(topics.call, b"owner", partition=0)
                await owner.send_offsets_to_transaction({partition: 5}, group)

        await commits(reader, partition, 5)
        await holds(kafka_bootstrap_servers, topics.call, [b"owner"])


def test_the_client_cannot_describe_groups_of_the_newer_protocol() -> None:
    """`ops.kit.groups_protocol` writes the request by hand; it can go when the client has its own."""
    assert not [name for name in dir(admin_protocol) if "ConsumerGroupDescribe" in name]
    assert (
        max(request.API_VERSION for request in admin_protocol.ListGroupsRequest._CLASSES)
        < ListGroupsRequest5.API_VERSION
    )
