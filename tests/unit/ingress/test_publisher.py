"""The in-memory publisher keeps the contract; records are built as specified."""

import pytest

from ingress.accept import ToDeadLetter, ToRaw
from ingress.ports import record_of
from schemas.dead_letter import Code, DeadLetter, Reason, Stage
from schemas.headers import RawHeaders
from schemas.identity import CallId
from schemas.topics import TopicNames
from tests.unit.ingress.publishers import MemoryPublisher, PublisherContract, Stored, Subject

TOPICS = TopicNames("test.")
HEADERS = RawHeaders(
    request_id="r",
    endpoint="call-started",
    received_at="2026-01-02T15:00:00.000Z",
    auth_scheme="hmac",
    auth_key_id="k",
    content_type="application/json",
)


class TestMemoryPublisher(PublisherContract):
    @pytest.fixture
    async def subject(self) -> Subject:
        publisher = MemoryPublisher([TOPICS.raw, TOPICS.dead_letter])

        async def read(topic: str) -> list[Stored]:
            return publisher.stored[topic]

        return Subject(publisher, TOPICS, read)


def test_raw_record_is_keyed_by_call_id() -> None:
    record = record_of(ToRaw(CallId("clé"), None, None), b"body", HEADERS.encode(), TOPICS)

    assert (record.topic, record.key, record.value) == (TOPICS.raw, "clé".encode(), b"body")
    assert RawHeaders.decode(record.headers) == HEADERS


def test_dead_letter_carries_its_reason_and_the_original_headers() -> None:
    reason = Reason(Stage.ACCEPT, Code.NOT_JSON, "why")

    record = record_of(ToDeadLetter(reason), b"body", HEADERS.encode(), TOPICS)

    decoded = DeadLetter.decode(record.headers)
    assert (record.topic, record.key, record.value) == (TOPICS.dead_letter, None, b"body")
    assert (decoded.reason, decoded.origin) == (reason, None)
    assert RawHeaders.decode(decoded.original_headers) == HEADERS
