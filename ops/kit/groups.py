"""Reads a consumer group as the broker sees it: its state, who is in it, its committed offsets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from ops.kit.errors import NotFoundError, UsageError
from ops.kit.groups_protocol import describe_newer, listed

NO_OFFSET = -1  # OffsetFetch's answer for a partition without a commit
DEAD = "Dead"  # DescribeGroups' answer for a group that does not exist: not an error
# Protocols of groups whose committed offsets say where they are; others (share, streams) have tools of their own.
CONSUMER_GROUPS = ("classic", "consumer")
COORDINATOR_SECONDS = 10
POLL_SECONDS = 0.2
_MOVING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class GroupMember:
    """Holds a process of a group; it has no partitions while the group rebalances."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[TopicPartition, ...]

    def __str__(self) -> str:
        return f"{self.client_id} ({self.member_id} at {self.host.removeprefix('/')})"


@dataclass(frozen=True, slots=True)
class GroupState:
    """Tells a group's state, its members, and by which protocol it works: classic, consumer (KIP-848) or another."""

    state: str
    members: tuple[GroupMember, ...]
    protocol: str = "classic"

    @property
    def empty(self) -> bool:
        return self.state in {"Empty", DEAD}

    @property
    def names(self) -> str:
        """Who is in it, for a person; empty when nobody is."""
        return ", ".join(sorted(map(str, self.members)))


class Group:
    """Asks about a group, which need not exist; every question waits for a coordinator that moves or loads."""

    def __init__(self, admin: AIOKafkaAdminClient, name: str) -> None:
        self._admin = admin
        self.name = name

    @classmethod
    async def find(cls, admin: AIOKafkaAdminClient, name: str) -> "Group":
        """The group called `name`.

        Raises:
            NotFoundError: there is none.
        """
        group = cls(admin, name)
        await group.existing()
        return group

    async def other(self, name: str) -> "Group":
        """Another group of the same broker; raises as `find`."""
        return await self.find(self._admin, name)

    async def existing(self) -> GroupState:
        """Its state now, of a consumer group that exists.

        Raises:
            NotFoundError: it does not.
            UsageError: it is a group of another kind, whose place in a topic is not told by committed offsets alone.
        """
        found = await self.state()
        if found.state == DEAD:
            raise NotFoundError(
                f"no consumer group {self.name}: it never committed, or it expired (option --group, PROCESSOR_GROUP)"
            )
        if found.protocol not in CONSUMER_GROUPS:
            raise UsageError(
                f"{self.name} is a {found.protocol} group ({found.state}), and no consumer group: only those are read "
                f"and moved here; Kafka's kafka-{found.protocol}-groups.sh is about the others"
            )
        return found

    async def state(self) -> GroupState:
        return await self._ask(self._describe)

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[int, int | None]:
        """Its committed offset in each partition (of one topic), None where it has none."""

        async def fetch(coordinator: int) -> dict[int, int | None]:
            found = await self._admin.list_consumer_group_offsets(self.name, coordinator, list(partitions))
            offsets = {p.partition: found[p].offset for p in partitions}
            return {number: None if offset == NO_OFFSET else offset for number, offset in offsets.items()}

        return await self._ask(fetch)

    async def _describe(self, coordinator: int) -> GroupState:
        """Its state by the protocol it works by: each has a question of its own, which knows nothing of the others."""
        classic = await self._describe_classic(coordinator)
        if classic.state != DEAD:
            return classic
        if (newer := await describe_newer(self._admin, self.name, coordinator)) is not None:
            _code, _message, _group, state, _epoch, _assigned, _assignor, members, *_ = newer
            return GroupState(str(state), tuple(map(_newer_member, members)), "consumer")
        if (other := await listed(self._admin, self.name, coordinator)) is not None:
            protocol, state = other
            return GroupState(state, (), protocol.lower())
        return classic

    async def _describe_classic(self, coordinator: int) -> GroupState:
        (response,) = await self._admin.describe_consumer_groups([self.name], coordinator)
        code, _group, state, kind, _protocol, members, *_ = response.groups[0]
        if code:
            raise for_code(code)
        return GroupState(str(state), tuple(_classic_member(member, kind) for member in members))

    async def _ask(self, question: Callable[[int], Awaitable[Answer]]) -> Answer:
        # A cluster that never had a group creates the offsets topic at this question and answers "not yet".
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while True:
                try:
                    return await question(int(await self._admin.find_coordinator(self.name)))
                except _MOVING:
                    await asyncio.sleep(POLL_SECONDS)


def _classic_member(fields: tuple[Any, ...], kind: str) -> GroupMember:
    # member id, [instance id from version 4 on,] client id, host, metadata, assignment
    member_id, *_, client_id, host, _metadata, assignment = fields
    partitions: tuple[TopicPartition, ...] = ()
    if kind == "consumer" and assignment:  # Kafka Connect's workers, for one, assign otherwise
        partitions = tuple(ConsumerProtocolMemberAssignment.decode(assignment).partitions())
    return GroupMember(member_id, client_id, host, partitions)


def _newer_member(fields: tuple[Any, ...]) -> GroupMember:
    member_id, _instance, _rack, _epoch, client_id, host, _topics, _regex, (assigned, *_), *_ = fields
    partitions = (TopicPartition(topic, number) for _id, topic, numbers, *_ in assigned for number in numbers)
    return GroupMember(member_id, client_id, host, tuple(partitions))
