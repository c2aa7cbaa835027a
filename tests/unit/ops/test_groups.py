"""How a group's state is found, whatever protocol it works by and however old the broker is."""

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError, IncompatibleBrokerVersion, TopicAuthorizationFailedError
from aiokafka.protocol.api import Request

from ops.kit import committed as kit
from ops.kit.committed import committed_offsets
from ops.kit.errors import NotFoundError, UsageError
from ops.kit.groups import Group, GroupMember, GroupState
from ops.kit.groups_protocol import (
    ConsumerGroupDescribe,
    ConsumerGroupDescribeRequest0,
    ConsumerGroupDescribeResponse0,
    ListTypedGroups,
)
from processors.kafka_offsets import OwnRecord
from runtime.settings import KafkaSettings

GROUP = "billing"
NOT_FOUND, NOT_AVAILABLE, NO_RIGHT = 69, 15, 29
ASSIGNED: list[Any] = [(b"0123456789abcdef", "call", [2, 0], {})]
MEMBER: tuple[Any, ...] = ("m-1", None, None, 3, "billing-1", "/10.0.0.1", ["call"], None, (ASSIGNED, {}), ([], {}), {})


class Broker:
    """Answers an admin client's questions about one group; `newer` and `listed` None: it does not know the request."""

    def __init__(self, *, classic: Any = None, newer: list[Any] | None = None, listed: Any = None) -> None:
        self.classic: Any = classic or (0, GROUP, "Dead", "", "", [])
        self.newer = newer
        self.listed = listed

    async def find_coordinator(self, _group: str) -> int:
        return 1

    async def list_consumer_group_offsets(
        self, _group: str, _coordinator: int, partitions: list[TopicPartition]
    ) -> Any:
        return {partition: SimpleNamespace(offset=3 if partition.partition else -1) for partition in partitions}

    async def describe_consumer_groups(self, _groups: list[str], _coordinator: int) -> list[Any]:
        return [SimpleNamespace(groups=[self.classic])]

    async def _send_request(self, request: Request[Any], _coordinator: int) -> Any:
        if isinstance(request, ConsumerGroupDescribe) and self.newer is not None:
            return SimpleNamespace(groups=[self.newer.pop(0)])
        if isinstance(request, ListTypedGroups) and self.listed is not None:
            return SimpleNamespace(error_code=0, groups=self.listed)
        raise IncompatibleBrokerVersion


def group(broker: Broker) -> Group:
    return Group(broker, GROUP)


def newer(code: int = 0, state: str = "Stable", members: tuple[Any, ...] = (MEMBER,)) -> tuple[Any, ...]:
    return (code, None, GROUP, state, 1, 1, "uniform", list(members), 0, {})


async def test_a_classic_group_is_described_as_before() -> None:
    assignment = ConsumerProtocolMemberAssignment(0, [("call", [1])], b"").encode()
    members = [("m-1", "billing-1", "/10.0.0.1", b"", assignment), ("m-2", "billing-2", "/10.0.0.2", b"", b"")]

    found = await group(Broker(classic=(0, GROUP, "Stable", "consumer", "range", members))).state()

    assert found == GroupState(
        "Stable",
        (
            GroupMember("m-1", "billing-1", "/10.0.0.1", (TopicPartition("call", 1),)),
            GroupMember("m-2", "billing-2", "/10.0.0.2", ()),
        ),
    )
    assert found.names == "billing-1 (m-1 at 10.0.0.1), billing-2 (m-2 at 10.0.0.2)"


async def test_a_group_that_is_none_of_consumers_has_members_without_partitions() -> None:
    members = [("m-1", "connect-1", "/10.0.0.1", b"", b"\x00\x01 an assignment of Kafka Connect")]

    found = await group(Broker(classic=(0, GROUP, "Stable", "connect", "sessioned", members))).state()

    assert found.members == (GroupMember("m-1", "connect-1", "/10.0.0.1", ()),)


async def test_a_group_of_the_newer_protocol_is_found_by_the_newer_question() -> None:
    found = await group(Broker(newer=[newer()])).existing()

    assigned = (TopicPartition("call", 2), TopicPartition("call", 0))
    assert found == GroupState("Stable", (GroupMember("m-1", "billing-1", "/10.0.0.1", assigned),), "consumer")
    assert not found.empty


async def test_a_coordinator_of_the_newer_protocol_that_moves_is_asked_again() -> None:
    found = await group(Broker(newer=[newer(NOT_AVAILABLE), newer(state="Empty", members=())])).state()

    assert found.empty
    assert GroupCoordinatorNotAvailableError.errno == NOT_AVAILABLE


async def test_a_right_that_is_missing_is_no_missing_group() -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await group(Broker(newer=[newer(NO_RIGHT, "", ())])).existing()


@pytest.mark.parametrize("protocol", ["Share", "Streams"])
async def test_other_kinds_of_groups_are_called_by_their_name(protocol: str) -> None:
    broker = Broker(newer=[newer(NOT_FOUND, "", ())], listed=[("other", "", "Empty", "Classic", {})])
    broker.listed.append((GROUP, "", "Stable", protocol, {}))

    with pytest.raises(UsageError, match=rf"billing is a {protocol.lower()} group \(Stable\).*-groups.sh"):
        await group(broker).existing()


@pytest.mark.parametrize("listed", [None, []])
@pytest.mark.parametrize("described", [None, [newer(NOT_FOUND, "", ())]])
async def test_a_group_that_nobody_knows_does_not_exist_on_older_brokers_either(
    described: list[Any] | None, listed: list[Any] | None
) -> None:
    with pytest.raises(NotFoundError, match="no consumer group billing"):
        await group(Broker(newer=described and list(described), listed=listed)).existing()


def test_the_messages_are_those_of_kafkas_definitions() -> None:
    request = ConsumerGroupDescribe(GROUP).build(ConsumerGroupDescribeRequest0)
    answer = ConsumerGroupDescribeResponse0(0, [newer()], {})

    assert request.encode() == b"\x02\x08billing\x00\x00"
    assert ConsumerGroupDescribeResponse0.decode(BytesIO(answer.encode())).groups == [newer()]


async def test_how_far_processors_are_is_read_from_their_own_record_and_others_from_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def read_offsets(_options: Any, topic: str, name: str, sources: list[TopicPartition], *, wait: bool) -> Any:
        assert (topic, name, wait) == ("ringover.offset.v1", GROUP, False)
        return {source: OwnRecord(TopicPartition(topic, 0), None if source.partition else 7) for source in sources}

    monkeypatch.setattr(kit, "read_offsets", read_offsets)
    settings = KafkaSettings(kafka_bootstrap_servers="localhost:9092")
    partitions = [TopicPartition("raw", 0), TopicPartition("raw", 1)]

    own = await committed_offsets(settings, group(Broker()), partitions, own_topic="ringover.offset.v1")
    others = await committed_offsets(settings, group(Broker()), partitions, own_topic=None)

    assert (own, others) == ({0: 7, 1: None}, {0: None, 1: 3})
