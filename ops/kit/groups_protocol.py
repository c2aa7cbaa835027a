"""Asks a coordinator for groups that the client (aiokafka 0.14) cannot describe: those of the newer protocol, KIP-848.

Its own question answers "Dead" for them, as for a group that does not exist. The two requests here are written by hand,
with the client's protocol types, from the message definitions of Kafka 4.4
(clients/src/main/resources/common/message): ConsumerGroupDescribe (API key 69) in version 0, which brokers have since
4.0, and ListGroups (16) in version 5, the first one that tells groups' types. tests/e2e/test_consumer_protocol.py
holds them against a broker; tests/integration/test_client_behaviour.py says when the client has learned the first one
and this module can go.
"""

from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupIdNotFound, IncompatibleBrokerVersion, NoError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from runtime import aiokafka_fixes

TAGS = ("tags", TaggedFields)  # ends every structure of these versions
NO_TAGS: dict[int, bytes] = {}


class Uuid(AbstractType[bytes]):  # type: ignore[misc] # the client is untyped
    """Reads 16 bytes as they are, which the client's types lack."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


def _text(name: str) -> tuple[str, CompactString]:
    return name, CompactString("utf-8")


_ASSIGNMENT = Schema(
    (
        "topic_partitions",
        CompactArray(("topic_id", Uuid), _text("topic_name"), ("partitions", CompactArray(Int32)), TAGS),
    ),
    TAGS,
)
_MEMBER = (
    _text("member_id"),
    _text("instance_id"),
    _text("rack_id"),
    ("member_epoch", Int32),
    _text("client_id"),
    _text("client_host"),
    ("subscribed_topic_names", CompactArray(CompactString("utf-8"))),
    _text("subscribed_topic_regex"),
    ("assignment", _ASSIGNMENT),
    ("target_assignment", _ASSIGNMENT),
    TAGS,
)


class ConsumerGroupDescribeResponse0(Response):  # type: ignore[misc] # the client is untyped
    """ConsumerGroupDescribeResponse.json."""

    API_KEY = 69
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16),
                _text("error_message"),
                _text("group_id"),
                _text("group_state"),
                ("group_epoch", Int32),
                ("assignment_epoch", Int32),
                _text("assignor_name"),
                ("members", CompactArray(*_MEMBER)),
                ("authorized_operations", Int32),
                TAGS,
            ),
        ),
        TAGS,
    )


class ConsumerGroupDescribeRequest0(RequestStruct):  # type: ignore[misc] # the client is untyped
    """ConsumerGroupDescribeRequest.json."""

    FLEXIBLE_VERSION = True
    API_KEY = 69
    API_VERSION = 0
    RESPONSE_TYPE = ConsumerGroupDescribeResponse0
    SCHEMA = Schema(
        ("group_ids", CompactArray(CompactString("utf-8"))), ("include_authorized_operations", Boolean), TAGS
    )


class ConsumerGroupDescribe(Request[ConsumerGroupDescribeRequest0]):  # type: ignore[misc] # the client is untyped
    """Asks for one group of the newer protocol."""

    API_KEY = 69

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[ConsumerGroupDescribeRequest0]) -> ConsumerGroupDescribeRequest0:
        return request_struct_class([self._group], False, NO_TAGS)


class ListGroupsResponse5(Response):  # type: ignore[misc] # the client is untyped
    """ListGroupsResponse.json."""

    API_KEY = 16
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "groups",
            CompactArray(_text("group_id"), _text("protocol_type"), _text("group_state"), _text("group_type"), TAGS),
        ),
        TAGS,
    )


class ListGroupsRequest5(RequestStruct):  # type: ignore[misc] # the client is untyped
    """ListGroupsRequest.json."""

    FLEXIBLE_VERSION = True
    API_KEY = 16
    API_VERSION = 5
    RESPONSE_TYPE = ListGroupsResponse5
    SCHEMA = Schema(
        ("states_filter", CompactArray(CompactString("utf-8"))),
        ("types_filter", CompactArray(CompactString("utf-8"))),
        TAGS,
    )


class ListTypedGroups(Request[ListGroupsRequest5]):  # type: ignore[misc] # the client is untyped
    """Asks for every group that a broker coordinates, with its type."""

    API_KEY = 16

    def build(self, request_struct_class: type[ListGroupsRequest5]) -> ListGroupsRequest5:
        return request_struct_class([], [], NO_TAGS)


async def describe_newer(admin: AIOKafkaAdminClient, group: str, coordinator: int) -> tuple[Any, ...] | None:
    """A group of the newer protocol as ConsumerGroupDescribe gives it, without an error.

    None when there is no such group, or the broker is too old for one.

    Raises:
        KafkaError: the coordinator moves, or refuses.
    """
    response = await _ask(admin, ConsumerGroupDescribe(group), coordinator)
    if response is None:
        return None
    described: tuple[Any, ...] = response.groups[0]
    error = for_code(described[0])
    if error is GroupIdNotFound:
        return None
    if error is not NoError:
        raise error
    return described


async def listed(admin: AIOKafkaAdminClient, group: str, coordinator: int) -> tuple[str, str] | None:
    """Type and state of a group, whatever type it is; None when there is none, or the broker is too old to tell.

    Raises:
        KafkaError: the coordinator moves, or refuses.
    """
    response = await _ask(admin, ListTypedGroups(), coordinator)
    if response is None:
        return None
    error = for_code(response.error_code)
    if error is not NoError:
        raise error
    found = ((str(type_), str(state)) for name, _protocol, state, type_, *_ in response.groups if name == group)
    return next(found, None)


async def _ask(admin: AIOKafkaAdminClient, request: Request[Any], coordinator: int) -> Any:
    try:
        return await aiokafka_fixes.send_request(admin, request, coordinator)
    except (IncompatibleBrokerVersion, NotImplementedError):  # it does not know the request, or not in this version
        return None
