"""A consumer group as the broker sees it: its state, who is in it, its committed offsets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group's state and its members, each as `client id (host)`."""

    state: str
    members: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nobody is in it."""
        return self.state in {"Empty", DEAD}


class Group:
    """One group; `find` it first."""

    def __init__(self, admin: AIOKafkaAdminClient, name: str, coordinator: int) -> None:
        self._admin = admin
        self._coordinator = coordinator
        self.name = name

    @classmethod
    async def find(cls, admin: AIOKafkaAdminClient, name: str) -> "Group":
        """The group called `name`.

        Raises:
            NotFoundError: there is none.
        """
        # A cluster that never had a group creates the offsets topic at this question and answers "not yet".
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while True:
                try:
                    group = cls(admin, name, int(await admin.find_coordinator(name)))
                    break
                except _MOVING:
                    await asyncio.sleep(POLL_SECONDS)
        if (await group.state()).state == DEAD:
            raise NotFoundError(
                f"no consumer group {name}: it never committed, or it expired (option --group, PROCESSOR_GROUP)"
            )
        return group

    async def other(self, name: str) -> "Group":
        """Another group of the same broker; raises as `find`."""
        return await self.find(self._admin, name)

    async def state(self) -> GroupState:
        """Its state now."""
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while True:
                (response,) = await self._admin.describe_consumer_groups([self.name], self._coordinator)
                code, _group, state, _type, _protocol, members, *_ = response.groups[0]
                if code == 0:
                    return GroupState(state, tuple(sorted(f"{member[1]} ({member[2]})" for member in members)))
                if code not in {error.errno for error in _MOVING}:
                    raise for_code(code)
                await asyncio.sleep(POLL_SECONDS)

    async def committed(self, partitions: Sequence[TopicPartition]) -> dict[int, int | None]:
        """Its committed offset in each partition, None where it has none."""
        found = await self._admin.list_consumer_group_offsets(self.name, self._coordinator, list(partitions))
        offsets = {partition: found[partition].offset for partition in partitions}
        return {p.partition: None if offset == NO_OFFSET else offset for p, offset in offsets.items()}
