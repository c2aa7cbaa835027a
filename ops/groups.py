"""A consumer group as the broker sees it: its state, who is in it, its committed offsets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from ops.errors import NotFoundError

NO_OFFSET = -1  # OffsetFetch's answer for a partition without a commit
DEAD = "Dead"  # DescribeGroups' answer for a group that does not exist: not an error
COORDINATOR_SECONDS = 10
POLL_SECONDS = 0.2
_MOVING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One process of a group; `assignment` is the client protocol's bytes, None while the group rebalances."""

    client_id: str
    host: str
    assignment: bytes | None

    def __str__(self) -> str:
        return f"{self.client_id} ({self.host})"


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group's state and its members."""

    state: str
    members: tuple[GroupMember, ...]

    @property
    def empty(self) -> bool:
        """Whether nobody is in it."""
        return self.state in {"Empty", DEAD}

    @property
    def names(self) -> str:
        """Who is in it, for a person; empty when nobody is."""
        return ", ".join(sorted(map(str, self.members)))


class Group:
    """One group, which need not exist; every question waits for a coordinator that moves or loads."""

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
        """Its state now, of a group that exists.

        Raises:
            NotFoundError: it does not.
        """
        found = await self.state()
        if found.state == DEAD:
            raise NotFoundError(
                f"no consumer group {self.name}: it never committed, or it expired (option --group, PROCESSOR_GROUP)"
            )
        return found

    async def state(self) -> GroupState:
        """Its state now."""
        return await self._ask(self._describe)

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[int, int | None]:
        """Its committed offset in each partition (of one topic), None where it has none."""

        async def fetch(coordinator: int) -> dict[int, int | None]:
            found = await self._admin.list_consumer_group_offsets(self.name, coordinator, list(partitions))
            offsets = {p.partition: found[p].offset for p in partitions}
            return {number: None if offset == NO_OFFSET else offset for number, offset in offsets.items()}

        return await self._ask(fetch)

    async def _describe(self, coordinator: int) -> GroupState:
        (response,) = await self._admin.describe_consumer_groups([self.name], coordinator)
        code, _group, state, _type, _protocol, members, *_ = response.groups[0]
        if code:
            raise for_code(code)
        # member id, [instance id from version 4 on,] client id, host, metadata, assignment
        return GroupState(str(state), tuple(GroupMember(m[-4], m[-3], m[-1] or None) for m in members))

    async def _ask(self, question: Callable[[int], Awaitable[Answer]]) -> Answer:
        # A cluster that never had a group creates the offsets topic at this question and answers "not yet".
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while True:
                try:
                    return await question(int(await self._admin.find_coordinator(self.name)))
                except _MOVING:
                    await asyncio.sleep(POLL_SECONDS)
