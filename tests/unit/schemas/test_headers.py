"""The header codec, alone and under the eyes of an independent CloudEvents reader."""

from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import EventType
from schemas.headers import EventHeaders, RawHeaders, header, is_sampled, valid_traceparent, with_values
from schemas.identity import EventId, IdempotencyKey, derived_event_id, idempotency_key

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SPECIFICATION = EventHeaders(
    event_type=EventType.CALL_STARTED,
    event_id=derived_event_id(EventType.CALL_STARTED, "ro_call_123", "2026-01-02T15:00:00.000Z"),
    subject="ro_call_123",
    time="2026-01-02T15:00:00.000Z",
    idempotency_key=idempotency_key(EventType.CALL_STARTED, "ro_call_123"),
    source_offset="ringover.raw.v1/3/42",
)


@settings(deadline=None)
@given(
    st.builds(
        RawHeaders,
        request_id=TEXT,
        endpoint=TEXT,
        received_at=TEXT,
        auth_scheme=TEXT,
        auth_key_id=TEXT,
        content_type=TEXT,
        signature=st.none() | TEXT,
        traceparent=st.none() | TEXT,
    )
)
def test_raw_headers_survive_the_round_trip(headers: RawHeaders) -> None:
    assert RawHeaders.decode(headers.encode()) == headers


@settings(deadline=None)
@given(
    st.builds(
        EventHeaders,
        event_type=st.sampled_from(EventType),
        event_id=TEXT.map(EventId),
        subject=TEXT,
        time=TEXT,
        idempotency_key=TEXT.map(IdempotencyKey),
        source_offset=TEXT,
        traceparent=st.none() | st.binary(max_size=60),
        from_number=st.none() | TEXT,
        to_number=st.none() | TEXT,
    )
)
def test_event_headers_survive_the_round_trip(headers: EventHeaders) -> None:
    assert EventHeaders.decode(headers.encode()) == headers


def test_raw_headers_have_a_fixed_order_and_leave_out_what_is_absent() -> None:
    headers = RawHeaders("id", "call-started", "2026-01-02T15:00:00.000Z", "bearer", "main", "application/json")

    assert headers.encode() == [
        ("request-id", b"id"),
        ("endpoint", b"call-started"),
        ("received-at", b"2026-01-02T15:00:00.000Z"),
        ("auth-scheme", b"bearer"),
        ("auth-key-id", b"main"),
        ("content-type", b"application/json"),
    ]


def test_raw_headers_ignore_strangers_and_need_their_own() -> None:
    encoded = RawHeaders("id", "call-started", "t", "hmac", "main", "application/json", signature="ab").encode()

    assert RawHeaders.decode([*encoded, ("__dlq.errors.code", b"x")]).signature == "ab"
    with pytest.raises(KeyError):
        RawHeaders.decode(encoded[1:])
    with pytest.raises(UnicodeDecodeError):
        RawHeaders.decode([("request-id", b"\xff"), *encoded[1:]])


def test_specifications_first_event_has_exactly_these_headers() -> None:
    assert SPECIFICATION.encode() == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"call.started"),
        ("ce_source", b"ringover"),
        ("ce_dataschema", b"urn:ringover-events:schema:call.started:v1"),
        ("content-type", b"application/json"),
        ("ce_id", b"32bc8aa445ca3061b3158389eb3138f89958f18d171bf1f0a26e212f3ec8dc06"),
        ("ce_subject", b"ro_call_123"),
        ("ce_time", b"2026-01-02T15:00:00.000Z"),
        ("ce_idempotencykey", b"ringover:call.started:ro_call_123"),
        ("ce_sourceoffset", b"ringover.raw.v1/3/42"),
    ]


def test_encoding_does_not_share_what_one_caller_might_change() -> None:
    SPECIFICATION.encode().clear()

    assert len(SPECIFICATION.encode()) == 10


def test_independent_cloudevents_reader_finds_every_attribute() -> None:
    headers = dict(SPECIFICATION._replace(from_number="204", to_number="sip:é@voix.example").encode())

    event = from_kafka_event(KafkaMessage(headers=headers, key=b"ro_call_123", value=b'{"call_id":"ro_call_123"}'))

    assert event.get_specversion() == "1.0"
    assert event.get_type() == "call.started"
    assert event.get_source() == "ringover"
    assert event.get_id() == SPECIFICATION.event_id
    assert event.get_subject() == "ro_call_123"
    assert event.get_time() == datetime(2026, 1, 2, 15, tzinfo=UTC)
    assert event.get_dataschema() == "urn:ringover-events:schema:call.started:v1"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("idempotencykey") == "ringover:call.started:ro_call_123"
    assert event.get_extension("sourceoffset") == "ringover.raw.v1/3/42"
    assert (event.get_extension("fromnumber"), event.get_extension("tonumber")) == ("204", "sip:é@voix.example")
    assert event.get_data() == {"call_id": "ro_call_123"}


def test_a_null_header_is_as_good_as_none_and_the_last_of_a_name_counts() -> None:
    odd = [("a", None), ("b", b"1"), ("b", None), ("c", None), ("c", b"2")]

    assert [header(odd, name) for name in "abcd"] == [None, None, b"2", None]
    assert with_values(odd) == {"c": b"2"}
    with pytest.raises(KeyError):
        RawHeaders.decode([("request-id", None)])


def test_last_header_of_a_name_counts() -> None:
    headers = [("a", b"1"), ("b", b"2"), ("a", b"3")]

    assert header(headers, "a") == b"3"
    assert header(headers, "c") is None


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (TRACEPARENT, True),
        (TRACEPARENT.replace("00-", "01-", 1), True),
        ("", False),
        (TRACEPARENT.upper(), False),
        (TRACEPARENT.replace("00-", "ff-", 1), False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        (TRACEPARENT + "\n", False),
        (TRACEPARENT + "-more", False),
    ],
)
def test_traceparent(text: str, valid: bool) -> None:
    assert valid_traceparent(text) is valid


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("fe", False)]
)
def test_sampled_is_the_lowest_flag(flags: str, sampled: bool) -> None:
    assert is_sampled(TRACEPARENT[:-2] + flags) is sampled
