"""The judge of raw records: the specification's examples, every dead letter of the contract, and arbitrary input."""

import hashlib
import json
import struct
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.model import Normalized, RawRecord, Rejected
from processors.normalize import MAX_DEPTH, normalize
from schemas.dead_letter import Code, Stage
from schemas.events import EventType
from schemas.headers import AnyHeaders
from tests.support.broker import StoredRecord
from tests.support.kafka import raw_headers
from tests.support.reference_model import Raw, expected

SOURCE = "ringover.raw.v1/3"
SECRET = "Zq7Xw"  # stands in every offending value that can hold it; must be in no message

# "Raw" of sections 1.1, 1.2 and 1.3 of the specification, word for word.
STARTED = (
    '{ "event": "call.started", "timestamp": "2026-01-02T15:00:00.000Z", "call": { "id": "ro_call_123", '
    '"direction": "inbound", "from": "+33601020304", "to": "+33189000000", "queue_id": "ro_queue_1", '
    '"agent": { "id": "ro_agent_77", "email": "agent@synergia.fr" } } }'
)
ENDED = (
    '{ "event": "call.ended", "timestamp": "2026-01-02T15:05:12.000Z", "call": { "id": "ro_call_123", '
    '"direction": "inbound", "from": "+33601020304", "to": "+33189000000", "duration_sec": 312, '
    '"hangup_cause": "normal_clearing", "disposition": "answered", "agent": { "id": "ro_agent_77" } } }'
)
RECORDED = (
    '{ "event": "call.recording_ready", "timestamp": "2026-01-02T15:06:00.000Z", "call": { "id": "ro_call_123" }, '
    '"recording": { "id": "ro_rec_555", "url": "https://provider.example/recordings/ro_rec_555.mp3", "format": "mp3" '
    '}, "transcript": { "text": "Bonjour, je souhaite prendre rendez-vous...", "language": "fr" } }'
)
BODIES = {"call-started": STARTED, "call-ended": ENDED, "recording-ready": RECORDED}
SLUGS = list(BODIES)


def stored(value: bytes | None, *, slug: str | None = None, key: bytes | None = b"ro_call_123") -> StoredRecord:
    headers = [] if slug is None else raw_headers(slug)
    return StoredRecord(offset=42, timestamp=1_767_366_000_000, key=key, value=value, headers=headers)


def rejected(record: RawRecord) -> tuple[Code, str]:
    verdict = normalize(record, source=SOURCE)
    assert isinstance(verdict, Rejected)
    assert verdict.reason.stage is Stage.NORMALIZE
    return verdict.reason.code, verdict.reason.message


def normalized(record: RawRecord) -> Normalized:
    verdict = normalize(record, source=SOURCE)
    assert isinstance(verdict, Normalized), verdict
    return verdict


def changed(slug: str, path: str, value: object) -> bytes:
    """The slug's body with the field at `path` (dotted) replaced."""
    body = json.loads(BODIES[slug])
    *parents, name = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    place[name] = value
    return json.dumps(body).encode()


def without(slug: str, path: str) -> bytes:
    """The slug's body without the field at `path`."""
    body = json.loads(BODIES[slug])
    *parents, name = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    del place[name]
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("slug", "value"),
    [
        (
            "call-started",
            b'{"call_id":"ro_call_123","direction":"inbound","from_e164":"+33601020304","to_e164":"+33189000000",'
            b'"queue_id":"ro_queue_1","agent_ref":"ro_agent_77"}',
        ),
        (
            "call-ended",
            b'{"call_id":"ro_call_123","duration_sec":312,"hangup_cause":"normal_clearing","disposition":"answered"}',
        ),
        (
            "recording-ready",
            b'{"call_id":"ro_call_123","recording_id":"ro_rec_555",'
            b'"recording_url":"https://provider.example/recordings/ro_rec_555.mp3",'
            b'"transcript_text":"Bonjour, je souhaite prendre rendez-vous...","transcript_lang":"fr"}',
        ),
    ],
)
def test_specifications_examples_come_out_byte_for_byte(slug: str, value: bytes) -> None:
    assert normalized(stored(BODIES[slug].encode(), slug=slug)).value == value


def test_event_has_its_identity_in_headers() -> None:
    event = normalized(stored(RECORDED.encode(), slug="recording-ready"))

    assert event == Normalized(*event)  # which counts the fields
    assert event.event_type is EventType.RECORDING_READY
    assert event.claim_key == "ringover:call.recording_ready:ro_call_123:ro_rec_555"
    assert ("ce_sourceoffset", b"ringover.raw.v1/3/42") in event.headers
    assert ("ce_time", b"2026-01-02T15:06:00.000Z") in event.headers
    assert "traceparent" not in dict(event.headers)


def test_provided_event_id_is_kept_and_null_is_none() -> None:
    given_id = normalized(stored(changed("call-ended", "event_id", "ro_evt_1"), slug="call-ended"))
    null_id = normalized(stored(changed("call-ended", "event_id", None), slug="call-ended"))

    assert ("ce_id", b"ro_evt_1") in given_id.headers
    assert dict(null_id.headers)["ce_id"] == dict(normalized(stored(ENDED.encode())).headers)["ce_id"]


def test_traceparent_of_the_raw_record_goes_on_with_the_event() -> None:
    traced = StoredRecord(42, 0, b"ro_call_123", ENDED.encode(), [("traceparent", b"00-a-b-01")])

    assert normalized(traced).headers[-1] == ("traceparent", b"00-a-b-01")


def test_content_hash_is_of_the_value_and_fits_bigint() -> None:
    one = normalized(stored(ENDED.encode()))
    same = normalized(stored(changed("call-ended", "unused", 1)))
    other = normalized(stored(changed("call-ended", "call.duration_sec", 313)))

    assert one.content_hash == same.content_hash != other.content_hash
    assert -(2**63) <= one.content_hash < 2**63


def nested(depth: int) -> bytes:
    """A valid call.ended whose unused field makes the body nest exactly `depth` deep."""
    inner = "[" * (depth - 1) + "]" * (depth - 1)
    return (ENDED[:-1] + f', "unused": {inner} }}').encode()


BOM = b"\xef\xbb\xbf"  # the byte order mark in UTF-8
NOT_JSON = [
    b"",
    b"not json",
    b"{",
    b'{"event": "call.ended"',
    ENDED.encode() + b"}",
    ENDED.encode()[:-1],
    BOM * 2 + ENDED.encode(),  # of two byte order marks one remains
    ENDED.encode() + BOM,
    BOM,
    ENDED.encode("utf-16"),
    ENDED.replace("answered", "\x00").encode(),
    ENDED.replace("answered", r"\ud800").encode(),  # a lone surrogate
    ENDED.replace("answered", r"\udfff\ud800").encode(),
    ENDED.encode().replace(b"answered", b"answ\xffred"),
    ENDED.encode().replace(b"answered", b"\xed\xa0\x80"),  # a surrogate in UTF-8
    ENDED.replace("312", "NaN").encode(),
    ENDED.replace("312", "Infinity").encode(),
    ENDED.replace("312", "0312").encode(),
    ENDED.replace("312", "+312").encode(),
    ENDED.replace("312", "0x138").encode(),
    ENDED.replace("312", "1e").encode(),
    ENDED.replace('"', "'").encode(),
    nested(5000),
]


@pytest.mark.parametrize("value", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_not_json_is_told_with_a_place_and_without_content(value: bytes) -> None:
    code, message = rejected(stored(value))

    assert code is Code.NOT_JSON
    assert message.startswith("the body is not JSON: ")
    assert "clearing" not in message


def test_a_leading_byte_order_mark_is_ignored_when_the_body_is_judged() -> None:
    plain, marked = (normalized(stored(mark + STARTED.encode(), slug="call-started")) for mark in (b"", BOM))

    assert marked == plain
    assert marked.headers == plain.headers
    assert rejected(stored(BOM + nested(MAX_DEPTH + 1)))[0] is Code.TOO_DEEP


def test_record_without_a_value_is_not_json() -> None:
    assert rejected(stored(None))[0] is Code.NOT_JSON


@pytest.mark.parametrize("value", [b"[]", b"null", b"1", b'"text"', b"true", f"[{ENDED}]".encode()])
def test_json_that_is_no_object_is_told(value: bytes) -> None:
    assert rejected(stored(value)) == (Code.NOT_AN_OBJECT, "the body is JSON but not an object")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100, 1000])
def test_deep_nesting_is_told_even_in_an_unused_field(depth: int) -> None:
    code, message = rejected(stored(nested(depth)))

    assert code is Code.TOO_DEEP
    assert "32" in message


@pytest.mark.parametrize("depth", [2, 10, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_accepted(depth: int) -> None:
    assert normalized(stored(nested(depth))).event_type is EventType.CALL_ENDED


@pytest.mark.parametrize("text", ["{[" * 500, '\\"' + "[" * 500, "[" * 500 + "\\\\", '\\\\\\"' + "{" * 500])
def test_brackets_inside_strings_do_not_count(text: str) -> None:
    value = (ENDED[:-1] + f', "unused": "{text}", "side": [[[]], {{}}] }}').encode()

    assert normalized(stored(value)).event_type is EventType.CALL_ENDED


def test_many_shallow_brackets_are_not_deep() -> None:
    assert normalized(stored(changed("call-ended", "unused", [{}, []] * 500))).event_type is EventType.CALL_ENDED


def test_repeated_name_in_an_object_means_the_last() -> None:
    value = ENDED.replace('"duration_sec": 312', '"duration_sec": "x", "duration_sec": 5').encode()

    assert json.loads(normalized(stored(value)).value)["duration_sec"] == 5


REQUIRED = [
    *[(slug, path) for slug in SLUGS for path in ("event", "timestamp", "call", "call.id")],
    ("call-started", "call.direction"),
    ("call-started", "call.to"),
    ("call-ended", "call.duration_sec"),
    ("call-ended", "call.hangup_cause"),
    ("call-ended", "call.disposition"),
    ("recording-ready", "recording"),
    ("recording-ready", "recording.id"),
    ("recording-ready", "recording.url"),
]
OPTIONAL = [
    ("call-started", "event_id"),
    ("call-started", "call.from"),
    ("call-started", "call.queue_id"),
    ("call-started", "call.agent"),
    ("call-started", "call.agent.id"),
    ("recording-ready", "transcript"),
    ("recording-ready", "transcript.text"),
    ("recording-ready", "transcript.language"),
]
OBJECTS = {"call", "recording", "transcript", "call.agent"}


@pytest.mark.parametrize(("slug", "path"), REQUIRED)
def test_missing_field_is_named(slug: str, path: str) -> None:
    assert rejected(stored(without(slug, path), slug=slug)) == (Code.FIELD_MISSING, f"{path}: Field required")


@pytest.mark.parametrize(("slug", "path"), REQUIRED)
def test_null_is_no_value_of_a_required_field(slug: str, path: str) -> None:
    code, message = rejected(stored(changed(slug, path, None), slug=slug))

    wanted = {"event": Code.FIELD_MISSING, "call.direction": Code.FIELD_INVALID}
    assert code is wanted.get(path, Code.FIELD_WRONG_TYPE)
    assert message.startswith(f"{path}: ")


@pytest.mark.parametrize(("slug", "path"), OPTIONAL)
def test_optional_field_may_be_null(slug: str, path: str) -> None:
    normalized(stored(changed(slug, path, None), slug=slug))


@pytest.mark.parametrize(("slug", "path"), REQUIRED + OPTIONAL)
@pytest.mark.parametrize("value", [90210, True, 1.5, [SECRET], {"value": SECRET}, SECRET], ids=repr)
def test_wrong_type_is_told_with_the_field_and_without_the_value(slug: str, path: str, value: object) -> None:
    right_types = {"call.duration_sec": int}
    right = dict if path in OBJECTS else right_types.get(path, str)
    if type(value) is right:
        return  # of the right type: judged in other tests

    code, message = rejected(stored(changed(slug, path, value), slug=slug))

    assert code is (Code.FIELD_INVALID if path == "call.direction" else Code.FIELD_WRONG_TYPE)
    assert message.startswith(f"{path}: ")
    assert SECRET not in message
    assert "90210" not in message


BAD_IDS = ["", SECRET * 2000, f"{SECRET}\x00", f"\n{SECRET}", f"{SECRET}\x7f", f"{SECRET}\x85", SECRET * 26]
ID_FIELDS = [
    ("call-started", "event_id"),
    ("call-started", "call.id"),
    ("call-started", "call.queue_id"),
    ("call-started", "call.agent.id"),
    ("call-ended", "call.id"),
    ("recording-ready", "call.id"),
    ("recording-ready", "recording.id"),
]


@pytest.mark.parametrize(("slug", "path"), ID_FIELDS)
@pytest.mark.parametrize("bad_id", BAD_IDS, ids=range(len(BAD_IDS)))
def test_unusable_id_is_told(slug: str, path: str, bad_id: str) -> None:
    code, message = rejected(stored(changed(slug, path, bad_id), slug=slug, key=bad_id.encode()))

    assert code is Code.FIELD_INVALID
    assert message == f"{path}: must be a string of 1 to 128 characters without control characters"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("-1", Code.FIELD_INVALID),
        ("-9223372036854775808", Code.FIELD_INVALID),
        ("9223372036854775808", Code.FIELD_INVALID),  # 2^63
        ("18446744073709551615", Code.FIELD_INVALID),
        ("18446744073709551616", Code.FIELD_WRONG_TYPE),  # 2^64: read as a float
        ("1e400", Code.NOT_JSON),
        ("312.7", Code.FIELD_WRONG_TYPE),
        ("31e-1", Code.FIELD_WRONG_TYPE),
        ("-5.0", Code.FIELD_INVALID),
        ("9007199254740992.0", Code.FIELD_WRONG_TYPE),  # 2^53: as a float also the integer after it
        ("1e18", Code.FIELD_WRONG_TYPE),
        ("-1e18", Code.FIELD_WRONG_TYPE),
        ("true", Code.FIELD_WRONG_TYPE),
        ('"312"', Code.FIELD_WRONG_TYPE),
    ],
)
def test_duration_that_is_none_is_told(number: str, code: Code) -> None:
    found, message = rejected(stored(ENDED.replace("312", number).encode()))

    assert found is code
    if code is not Code.NOT_JSON:
        assert message.startswith("call.duration_sec: ")


@pytest.mark.parametrize("seconds", [0, 2**63 - 1])
def test_duration_up_to_63_bits_is_kept_exactly(seconds: int) -> None:
    value = normalized(stored(changed("call-ended", "call.duration_sec", seconds))).value

    assert json.loads(value)["duration_sec"] == seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("312.0", 312),
        ("1e2", 100),
        ("1E+2", 100),
        ("31.2e1", 312),
        ("-0.0", 0),
        ("-0", 0),
        ("0e5", 0),
        ("9007199254740991.0", 2**53 - 1),
    ],
)
def test_a_float_that_is_an_integer_is_a_duration_and_comes_out_as_an_integer(written: str, seconds: int) -> None:
    plain = normalized(stored(changed("call-ended", "call.duration_sec", seconds)))

    event = normalized(stored(ENDED.replace("312", written).encode()))

    assert f'"duration_sec":{seconds},'.encode() in event.value
    assert (event.value, event.content_hash) == (plain.value, plain.content_hash)


@pytest.mark.parametrize("path", ["call.from", "call.to"])
@pytest.mark.parametrize(
    "number",
    [
        "0601020304",
        "33601020304",
        "+33 6 01",
        f"tel:{SECRET}",
        "+0601020304",
        "+3360102030\n",
        "1234567",
        "+204",
        "20 4",
        "٣",
        "sip:",
        "sip: x",
        "sip:a\x00",
        "sips:a@b",
        f"x{SECRET}",
        "sip:" + "x" * 253,
    ],
)
def test_number_that_is_not_e164_is_told(path: str, number: str) -> None:
    code, message = rejected(stored(changed("call-started", path, number)))

    rule = "must be an E.164 number ('+' and 6 to 15 digits), 1 to 6 digits, or a sip: address"
    assert (code, message) == (Code.NUMBER_INVALID, f"{path}: {rule}")


def numbers_of(event: Normalized) -> tuple[object, object, bytes | None, bytes | None]:
    """The two numbers in the value, and the two in the headers."""
    value, headers = json.loads(event.value), dict(event.headers)
    return value["from_e164"], value["to_e164"], headers.get("ce_fromnumber"), headers.get("ce_tonumber")


WITHHELD = ["", "anonymous", "ANONYMOUS", "Anonyme", "restricted", "Private", "unavailable", "unKnown", "withheld"]


@pytest.mark.parametrize("word", WITHHELD)
def test_a_withheld_caller_is_null_and_leaves_no_header(word: str) -> None:
    absent = normalized(stored(without("call-started", "call.from")))

    event = normalized(stored(changed("call-started", "call.from", word)))

    assert numbers_of(event) == (None, "+33189000000", None, None)
    assert (event.value, event.content_hash) == (absent.value, absent.content_hash)
    assert rejected(stored(changed("call-started", "call.to", word)))[0] is Code.NUMBER_INVALID


@pytest.mark.parametrize("word", [" anonymous", "anonymous ", "hidden", "anonymou\u017f", "un\u212anown", " ", "null"])
def test_another_word_is_no_caller(word: str) -> None:
    assert rejected(stored(changed("call-started", "call.from", word)))[0] is Code.NUMBER_INVALID


WITHOUT_E164 = ["7", "204", "000000", "118712", "sip:jean@voix.example", "SIP:+33189000000@voix.example;user=phone"]
WITHOUT_E164 += ["sip:é", "sip:" + "x" * 252]


@pytest.mark.parametrize("number", WITHOUT_E164)
def test_what_has_no_e164_form_is_null_and_in_a_header_as_received(number: str) -> None:
    caller = normalized(stored(changed("call-started", "call.from", number)))
    called = normalized(stored(changed("call-started", "call.to", number)))

    assert numbers_of(caller) == (None, "+33189000000", number.encode(), None)
    assert numbers_of(called) == ("+33601020304", None, None, number.encode())


def test_a_duplicate_that_differs_in_such_a_number_alone_is_a_conflict() -> None:
    made = [normalized(stored(changed("call-started", path, n))) for path in ("call.from", "call.to") for n in "12"]
    swapped = changed("call-started", "call.from", "1").replace(b"+33189000000", b"2")
    back = changed("call-started", "call.from", "2").replace(b"+33189000000", b"1")

    both = [normalized(stored(body)) for body in (swapped, back)]

    assert len({event.value for event in made}) == 2
    assert len({event.content_hash for event in [*made, *both]}) == 6
    withheld = normalized(stored(changed("call-started", "call.from", "private")))
    assert withheld.content_hash not in {event.content_hash for event in made}


def test_hash_of_an_ordinary_event_is_of_its_value_alone() -> None:
    """The state table has such hashes: another one would make every redelivered webhook a conflict."""
    event = normalized(stored(STARTED.encode()))

    assert event.content_hash == struct.unpack(">q", hashlib.blake2b(event.value, digest_size=8).digest())[0]


def test_called_number_may_not_be_empty_but_the_callers_may() -> None:
    assert rejected(stored(changed("call-started", "call.to", "")))[0] is Code.NUMBER_INVALID
    assert json.loads(normalized(stored(changed("call-started", "call.from", ""))).value)["from_e164"] is None


@pytest.mark.parametrize("slug", SLUGS)
def test_offset_without_a_colon_gives_its_time_in_utc_and_the_event_id_of_the_timestamp_as_written(slug: str) -> None:
    written = "2026-01-02T16:00:00.5+0100"
    body = changed(slug, "timestamp", written)
    event = json.loads(body)["event"]

    headers = dict(normalized(stored(body)).headers)

    assert headers["ce_time"] == b"2026-01-02T15:00:00.5Z"
    assert headers["ce_id"] == hashlib.sha256(f"ringover|{event}|ro_call_123|{written}".encode()).hexdigest().encode()


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize(
    "timestamp",
    ["", SECRET, "2026-01-02T15:00:00", "2026-02-30T15:00:00Z", "2026-01-02T15:00:60Z", "0001-01-01T00:00:00+01:00"],
)
def test_bad_timestamp_is_told(slug: str, timestamp: str) -> None:
    assert rejected(stored(changed(slug, "timestamp", timestamp), slug=slug)) == (
        Code.TIMESTAMP_INVALID,
        "timestamp: must be an RFC 3339 date and time with a zone",
    )


@pytest.mark.parametrize(
    ("slug", "path"),
    [
        ("call-ended", "call.hangup_cause"),
        ("call-ended", "call.disposition"),
        ("recording-ready", "recording.url"),
        ("call-started", "call.direction"),
    ],
)
def test_empty_text_is_told(slug: str, path: str) -> None:
    code, message = rejected(stored(changed(slug, path, ""), slug=slug))

    assert code is Code.FIELD_INVALID
    assert message.startswith(f"{path}: ")


def test_unknown_direction_is_told_without_the_value() -> None:
    code, message = rejected(stored(changed("call-started", "call.direction", SECRET)))

    assert code is Code.FIELD_INVALID
    assert SECRET not in message


@pytest.mark.parametrize("event", ["", SECRET, "CALL.STARTED", "call.started ", "call_started"])
def test_unknown_event_is_told_with_the_known_ones(event: str) -> None:
    assert rejected(stored(changed("call-started", "event", event))) == (
        Code.EVENT_UNKNOWN,
        "event: unknown, expected one of call.started, call.ended, call.recording_ready",
    )


@pytest.mark.parametrize("endpoint", [*SLUGS, "nowhere"])
@pytest.mark.parametrize("slug", SLUGS)
def test_event_must_be_its_endpoints(slug: str, endpoint: str) -> None:
    record = stored(BODIES[slug].encode(), slug=endpoint)

    if slug == endpoint:
        normalized(record)
    else:
        code, message = rejected(record)
        assert code is Code.EVENT_MISMATCH
        assert message.startswith("event: ")


def test_endpoint_header_of_any_bytes_is_a_verdict() -> None:
    record = StoredRecord(42, 0, b"ro_call_123", ENDED.encode(), [("endpoint", b"\xff\xfe")])

    assert rejected(record)[0] is Code.EVENT_MISMATCH


@pytest.mark.parametrize("key", [None, b"", b"ro_call_124", b"ro_call_123 ", b"\xff", SECRET.encode()])
def test_key_that_is_not_the_call_id_is_told(key: bytes | None) -> None:
    code, message = rejected(stored(ENDED.encode(), key=key))

    assert (code, message) == (Code.KEY_MISMATCH, "the record's key is not the body's call.id")


HEADERS = st.lists(
    st.tuples(st.sampled_from(["endpoint", "traceparent", "request-id"]), st.none() | st.binary(max_size=12)),
    max_size=3,
)


@settings(deadline=None, max_examples=150)
@given(st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=20), HEADERS)
def test_arbitrary_bytes_never_raise(value: bytes | None, key: bytes | None, headers: AnyHeaders) -> None:
    verdict = normalize(StoredRecord(0, 0, key, value, headers), source=SOURCE)

    assert isinstance(verdict, Rejected)  # no valid body comes about by chance


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NEAR_MISSES = [
    *["", "\x00", "x" * 129, "a:b", "ro_call_123", "call.started", "call.ended", "inbound", "+33601020304", "0601"],
    *[
        "204",
        "Anonymous",
        "private",
        "sip:a@b",
        "SIP:\u0663",
        "sips:a",
        "sip: a",
        "sip:" + "x" * 253,
        312.0,
        -0.0,
        312.5,
    ],
    *[2.0**53, 2.0**53 - 1, "2026-01-02T15:00:00+0100", "2026-01-02T15:00:00-2359", "2026-01-02T15:00:00+0160"],
    *["2026-01-02T15:00:00.000Z", "2026-01-02t15:00:00.5+02:00", "2026-01-02", "9999-12-31T23:59:59-01:00"],
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(NEAR_MISSES)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_arbitrary_json_never_raises(value: Any) -> None:
    assert isinstance(normalize(stored(orjson.dumps(value)), source=SOURCE), Rejected)


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every field in a body."""
    found: list[tuple[str, ...]] = []
    for name, child in value.items():
        found.append((*path, name))
        if isinstance(child, dict):
            found += places(child, (*path, name))
    return found


def parent_of(body: Any, path: tuple[str, ...]) -> Any:
    for name in path[:-1]:
        body = body.get(name) if isinstance(body, dict) else None
    return body


@st.composite
def mutated_records(draw: st.DrawFn) -> StoredRecord:
    """A valid record with up to three of its fields dropped, replaced or put in the place of others."""
    slug = draw(st.sampled_from(SLUGS))
    body = json.loads(BODIES[slug])
    paths = [*places(body), ("event_id",), ("call", "extra")]
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(paths))
        parent = parent_of(body, path)
        if not isinstance(parent, dict):
            continue
        if draw(st.integers(0, 3)) == 0:
            parent.pop(path[-1], None)
        else:
            parent[path[-1]] = deepcopy(draw(JSON))
    call = body.get("call")
    call_id = call.get("id") if isinstance(call, dict) else None
    right_key = call_id.encode() if isinstance(call_id, str) else None
    key = right_key if draw(st.integers(0, 9)) else draw(st.none() | st.binary(max_size=4))
    headers = raw_headers(draw(st.sampled_from([slug] * 8 + SLUGS))) if draw(st.integers(0, 9)) else []
    if draw(st.booleans()):
        headers.append(("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    mark = draw(st.sampled_from([b""] * 8 + [BOM, BOM * 2]))
    return StoredRecord(42, 0, key, mark + orjson.dumps(body), headers)


def agrees(record: StoredRecord) -> None:
    assert record.value is not None
    oracle = expected([Raw(3, 42, record.key, record.value, tuple(record.headers))], "ringover.raw.v1")

    match normalize(record, source=SOURCE):
        case Rejected(reason=reason):
            assert [dead.code for dead in oracle.dead_letters] == [reason.code.value]
        case Normalized(value=value, headers=headers):
            assert [(event.value, list(event.headers)) for event in oracle.events] == [(value, headers)]


@settings(deadline=None, max_examples=500)
@given(mutated_records())
def test_agrees_with_the_reference_model(record: StoredRecord) -> None:
    agrees(record)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SLUGS), st.integers(0, 250), st.binary(max_size=3), st.integers(0, 3))
def test_agrees_with_the_reference_model_on_damaged_bytes(slug: str, at: int, patch: bytes, cut: int) -> None:
    body = BODIES[slug].encode()

    agrees(stored(body[:at] + patch + body[at + cut :], slug=slug))


@pytest.mark.parametrize("value", [ENDED.encode(), b"\xff"])
def test_same_record_gives_the_same_verdict_on_every_pass(value: bytes) -> None:
    assert normalize(stored(value), source=SOURCE) == normalize(stored(bytes(value)), source=SOURCE)
