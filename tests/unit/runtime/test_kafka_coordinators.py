"""A coordinator that answers a question for offsets with one error for all, as while it loads."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupLoadInProgressError, NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from runtime import aiokafka_fixes

PARTITION = TopicPartition("raw", 0)
LOADING, NOT_COORDINATOR = 14, 16


class Answers:
    """A connection that answers every request with the same error, or with an offset."""

    def __init__(self, error_code: int) -> None:
        topics = [] if error_code else [("raw", [(0, 7, "", 0)])]
        self._response = OffsetFetchResponse_v3(0, topics, error_code)

    async def send(self, _node: int, _request: Any, **_options: Any) -> Any:
        return self._response


def consumer_side(error_code: int) -> Any:
    """As much of the client as asks for offsets."""
    coordinator = GroupCoordinator.__new__(GroupCoordinator)
    coordinator._client = Answers(error_code)
    coordinator.group_id = "group"
    coordinator.coordinator_id = 1
    coordinator.dead = False
    coordinator.coordinator_dead = lambda: setattr(coordinator, "dead", True)
    return coordinator


def admin_side(error_code: int) -> Any:
    admin = AIOKafkaAdminClient.__new__(AIOKafkaAdminClient)
    admin._client = SimpleNamespace(send=Answers(error_code).send)
    return admin


async def test_offset_is_given_as_it_was() -> None:
    aiokafka_fixes.apply()

    assert (await consumer_side(0)._do_fetch_commit_offsets([PARTITION]))[PARTITION].offset == 7
    assert (await admin_side(0).list_consumer_group_offsets("group", 1, [PARTITION]))[PARTITION].offset == 7


async def test_coordinator_that_loads_is_not_taken_for_a_group_without_offsets() -> None:
    aiokafka_fixes.apply()
    aiokafka_fixes.apply()

    with pytest.raises(GroupLoadInProgressError):
        await consumer_side(LOADING)._do_fetch_commit_offsets([PARTITION])
    with pytest.raises(GroupLoadInProgressError):
        await admin_side(LOADING).list_consumer_group_offsets("group", 1, [PARTITION])


async def test_coordinator_that_is_none_is_looked_up_again() -> None:
    aiokafka_fixes.apply()
    coordinator = consumer_side(NOT_COORDINATOR)

    with pytest.raises(NotCoordinatorForGroupError):
        await coordinator._do_fetch_commit_offsets([PARTITION])

    assert coordinator.dead
