"""What is too large for Kafka is decided before anything is claimed, and never stops a partition."""

import orjson
import pytest

from processors.decide import decide
from processors.model import Batch, Normalized, Rejected
from processors.normalize import normalize
from processors.size import fits
from schemas.dead_letter import Code, DeadLetter, Reason, Stage
from schemas.headers import Headers
from schemas.topics import MAX_OUTPUT_BYTES, TopicNames
from tests.support.broker import StoredRecord, size
from tests.support.kafka import raw_headers
from tests.support.traffic import recording, started

TOPICS = TopicNames()
REASON = Reason(Stage.NORMALIZE, Code.NOT_JSON, "the body is not JSON")
HUGE = b"x" * MAX_OUTPUT_BYTES


def dead_letter(key: bytes | None, value: bytes | None, headers: Headers) -> tuple[StoredRecord, list[object]]:
    raw = StoredRecord(5, 1000, key, value, headers)
    decision = decide(Batch(1, 5, 6, [Rejected(REASON, raw)]), {}, topics=TOPICS, group="g")
    (record,) = decision.outputs[TOPICS.dead_letter]
    assert fits(record.key, record.value, record.headers)
    assert size(record) <= MAX_OUTPUT_BYTES
    decoded = DeadLetter.decode(record.headers)
    assert decoded.reason.code is Code.NOT_JSON
    assert decoded.origin is not None
    assert decoded.origin.offset == 5
    return raw, [record.key, record.value, decoded.original_headers, decoded.reason.message]


def test_dead_letter_that_fits_is_the_raw_record() -> None:
    raw, found = dead_letter(b"key", b"x" * (MAX_OUTPUT_BYTES - 2000), raw_headers("call-ended"))

    assert found == [raw.key, raw.value, raw.headers, REASON.message]


@pytest.mark.parametrize("length", [MAX_OUTPUT_BYTES - 400, MAX_OUTPUT_BYTES - 200, MAX_OUTPUT_BYTES])
def test_dead_letter_that_does_not_fit_leaves_its_body_in_the_raw_record(length: int) -> None:
    raw, found = dead_letter(b"key", b"x" * length, raw_headers("call-ended"))

    message = f"{REASON.message}; too large to be kept here, see the raw record"
    assert found == [raw.key, None, raw.headers, message]


@pytest.mark.parametrize(("key", "headers"), [(HUGE, []), (b"key", [("x", HUGE)]), (HUGE, [("x", HUGE)])])
def test_dead_letter_whose_head_does_not_fit_is_only_its_reason(key: bytes, headers: Headers) -> None:
    _, found = dead_letter(key, b"body", headers)

    assert found[:3] == [None, None, []]


def event_of(length: int) -> object:
    webhook = recording("a", "r")
    body = orjson.loads(webhook.body) | {"transcript": {"text": "x" * length, "language": "fr"}}
    record = StoredRecord(0, 0, b"a", orjson.dumps(body), raw_headers(webhook.slug))
    return normalize(record, source="t/0")


def test_event_that_no_topic_takes_is_rejected_before_it_claims() -> None:
    assert not isinstance(event_of(MAX_OUTPUT_BYTES - 2000), Rejected)

    found = event_of(MAX_OUTPUT_BYTES)

    assert isinstance(found, Rejected)
    assert found.reason.code is Code.TOO_LARGE


def test_numbers_in_headers_are_part_of_an_events_size() -> None:
    """Beside a value that is only just small enough: with them the same event is too large."""
    body = orjson.loads(started("a").body)
    agent = {"id": "a"}

    def made(caller: str, filling: int) -> object:
        call = body["call"] | {"from": caller, "to": caller, "agent": agent}
        traceparent = [("traceparent", b"x" * filling)]  # of any length, as somebody else than the ingress may write it
        return normalize(StoredRecord(0, 0, b"a", orjson.dumps(body | {"call": call}), traceparent), source="t/0")

    room = MAX_OUTPUT_BYTES - 1500
    assert isinstance(made("+33601020304", room), Normalized)
    assert isinstance(made("sip:" + "é" * 252, room), Rejected)


def test_traceparent_of_any_length_is_part_of_an_events_size() -> None:
    webhook = recording("a", "r")
    record = StoredRecord(0, 0, b"a", webhook.body, [("traceparent", HUGE)])

    assert isinstance(normalize(record, source="t/0"), Rejected)
