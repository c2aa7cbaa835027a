"""The topics registry and the endpoints."""

import pytest

from schemas.events import ENDPOINTS, PATH_PREFIX, EventType
from schemas.topics import (
    CALL,
    DEAD_LETTER,
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_OUTPUT_BYTES,
    OFFSET,
    RAW,
    RECORDING,
    TOPICS,
    Topic,
    TopicNames,
)

THIRTY_DAYS_MS = "2592000000"


def test_registry_is_the_designs_table() -> None:
    assert [topic.name for topic in TOPICS] == [
        "ringover.raw.v1",
        "ringover.call.v1",
        "ringover.recording.v1",
        "ringover.dead-letter.v1",
        "ringover.offset.v1",
    ]


@pytest.mark.parametrize("topic", [RAW, CALL, RECORDING, DEAD_LETTER], ids=lambda topic: topic.name)
def test_topic_keeps_thirty_days_on_twelve_partitions(topic: Topic) -> None:
    assert topic.partitions == 12
    assert topic.config["cleanup.policy"] == "delete"
    assert topic.config["retention.ms"] == THIRTY_DAYS_MS
    assert topic.config["max.message.bytes"] == str(MAX_MESSAGE_BYTES if topic is RAW else MAX_OUTPUT_BYTES)
    assert topic.config.get("message.timestamp.type") == ("LogAppendTime" if topic is RAW else None)
    assert topic.purpose


def test_offsets_are_compacted_on_as_many_partitions() -> None:
    assert OFFSET.partitions == RAW.partitions
    assert OFFSET.config["cleanup.policy"] == "compact"


def test_largest_body_leaves_room_for_headers() -> None:
    assert MAX_MESSAGE_BYTES == 2 * 1024 * 1024
    assert MAX_MESSAGE_BYTES - MAX_BODY_BYTES == 64 * 1024


def test_what_fits_into_raw_fits_on_with_our_headers() -> None:
    assert MAX_OUTPUT_BYTES - MAX_MESSAGE_BYTES == 64 * 1024


def test_both_events_of_a_call_share_a_topic() -> None:
    names = TopicNames("test.")

    assert names.of(EventType.CALL_STARTED.topic) == names.of(EventType.CALL_ENDED.topic) == "test.ringover.call.v1"
    assert names.of(EventType.RECORDING_READY.topic) == "test.ringover.recording.v1"


def test_prefix_is_before_every_name() -> None:
    names = TopicNames("test.")

    assert [names.raw, names.call, names.recording, names.dead_letter, names.offset] == [
        f"test.{topic.name}" for topic in TOPICS
    ]
    assert TopicNames().raw == "ringover.raw.v1"


def test_endpoints_are_the_specifications() -> None:
    assert {PATH_PREFIX + slug: event.value for slug, event in ENDPOINTS.items()} == {
        "/wh/ringover/call-started": "call.started",
        "/wh/ringover/call-ended": "call.ended",
        "/wh/ringover/recording-ready": "call.recording_ready",
    }
    assert {event.slug: event for event in EventType} == ENDPOINTS
