"""What a dead letter is to the tools: identity, markers, selection, today's judgement, groups."""

from datetime import UTC, datetime

import orjson
import pytest

from ops.dead_letters.model import (
    Letter,
    LetterId,
    Selection,
    import_marker,
    marked,
    parse_id,
    read_letter,
    replay_marker,
    select,
    without_markers,
)
from ops.dead_letters.outcome import NoPlace, StillBad, WouldBeEvent, outcome_today
from ops.dead_letters.read import Groups, ListedLetter
from ops.kit.errors import UsageError
from ops.kit.output import json_bytes
from schemas.dead_letter import Code, Origin, Reason, Stage, reason_headers
from schemas.headers import Headers
from schemas.topics import MAX_BODY_BYTES
from tests.support.traffic import ended, started

NOW = datetime(2026, 1, 2, 15, tzinfo=UTC)
ORIGIN = Origin("raw", 2, 41, "group")
NORMALIZE = Reason(Stage.NORMALIZE, Code.FIELD_MISSING, "said")
ACCEPT = Reason(Stage.ACCEPT, Code.NOT_JSON, "said")
STARTED = started("c").body


def letter(
    value: bytes | None = STARTED,
    *,
    at: str = "2:7",
    key: bytes | None = b"c",
    origin: Origin | None = ORIGIN,
    reason: Reason = NORMALIZE,
    endpoint: bytes = b"call-started",
    time: int = 1000,
) -> Letter:
    headers: Headers = [("endpoint", endpoint), *reason_headers(reason, origin)]
    return read_letter(parse_id(at), time, key, value, headers)


@pytest.mark.parametrize("text", ["", "3", "3:", ":7", "3:x", "3:-1", "3:7 ", "3:7:1", "-3:7", "٣:7"])
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="partition:offset"):
        parse_id(text)


def test_an_id_is_written_as_it_is_read() -> None:
    assert str(parse_id("3:1207")) == "3:1207"
    assert parse_id("3:1207") == LetterId(3, 1207)


def test_a_letter_is_split_into_originals_reason_and_origin() -> None:
    found = letter()

    assert found.headers == [("endpoint", b"call-started")]
    assert (found.reason.stage, found.reason.code, found.reason.message) == ("normalize", "field_missing", "said")
    assert found.place == "raw/2/41"


def test_of_two_reasons_the_last_counts() -> None:
    again = Origin("raw", 2, 99, "group")
    headers = [*reason_headers(ACCEPT, ORIGIN), *reason_headers(NORMALIZE, again)]

    found = read_letter(LetterId(2, 8), 0, None, b"", headers)

    assert (found.reason.code, found.origin and found.origin.offset, found.headers) == ("field_missing", 99, [])


def test_an_unknown_code_of_another_version_is_kept_and_foreign_headers_are_no_error() -> None:
    old = read_letter(LetterId(0, 0), 0, b"c", b"", [("__dlq.errors.code", b"gone"), ("__dlq.errors.topic", b"raw")])
    foreign = read_letter(LetterId(0, 1), 0, None, None, [("__dlq.errors.stage", b"\xff")])

    assert (old.reason.code, old.reason.stage, old.origin) == ("gone", "-", None)
    assert (foreign.reason.code, foreign.headers) == ("-", [])


def test_passes_of_one_raw_record_share_an_identity_and_bodies_of_the_ingress_do_not() -> None:
    assert letter(at="2:7").identity == letter(at="2:90").identity
    other_group = Origin("raw", 2, 41, "another")
    assert letter(origin=other_group).identity == letter().identity
    assert letter(at="2:7", origin=None).identity != letter(at="2:90", origin=None).identity


def test_markers_lead_back_to_the_letter() -> None:
    assert marked([replay_marker("p.dead.v1", LetterId(3, 9))], "p.dead.v1") == LetterId(3, 9)
    assert marked([import_marker(LetterId(3, 9))], "p.dead.v1") == LetterId(3, 9)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("replayed-from", b"other/3/9")],
        [("replayed-from", b"dead")],
        [("replayed-from", b"dead/x/9")],
        [("replayed-from", b"\xff\xff")],
        [("imported-from", b"nonsense")],
    ],
)
def test_what_is_no_marker_of_ours_leads_nowhere(headers: Headers) -> None:
    assert marked(headers, "dead") is None


def test_older_markers_are_taken_off() -> None:
    headers = [("a", b"1"), replay_marker("dead", LetterId(0, 0)), import_marker(LetterId(0, 1))]

    assert without_markers(headers) == [("a", b"1")]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (letter(), True),
        (letter(started("other").body), Code.KEY_MISMATCH),
        (letter(key=None), Code.KEY_MISMATCH),  # it was in the raw log without a key, and goes there so
        (letter(b"{"), Code.NOT_JSON),
        (letter(None), Code.NOT_JSON),
        (letter(ended("c").body), Code.EVENT_MISMATCH),
        (letter(key=None, origin=None, reason=ACCEPT), True),
        (letter(ended("c").body, key=None, origin=None), Code.EVENT_MISMATCH),
    ],
)
def test_todays_code_judges_a_letter(given: Letter, wanted: Code | bool) -> None:
    outcome = outcome_today(given)

    if isinstance(wanted, Code):
        assert isinstance(outcome, StillBad)
        assert outcome.reason.code is wanted
    else:
        assert isinstance(outcome, WouldBeEvent)
        assert (outcome.key, outcome.claim_key) == (b"c", "ringover:call.started:c")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (letter(b"{", key=None, origin=None), Code.NOT_JSON),
        (letter(b'{"call":{}}', key=None, origin=None), Code.CALL_ID_UNUSABLE),
        (letter(key=None, origin=None, endpoint=b"nothing"), Code.EVENT_UNKNOWN),
        (letter(None, key=None, origin=None), Code.NOT_JSON),
        (letter(None, key=None), Code.NOT_JSON),  # Kafka's client refuses a record without both
        (letter(b" " * (MAX_BODY_BYTES + 1)), Code.TOO_LARGE),
    ],
)
def test_what_has_no_key_has_no_place(given: Letter, code: Code) -> None:
    outcome = outcome_today(given)

    assert isinstance(outcome, NoPlace)
    assert outcome.reason.code is code


@pytest.mark.parametrize(
    ("selection", "matches"),
    [
        (Selection(), True),
        (Selection(ids=frozenset({LetterId(2, 7)})), True),
        (Selection(ids=frozenset({LetterId(2, 8)})), False),
        (Selection(codes=frozenset({"field_missing", "x"})), True),
        (Selection(codes=frozenset({"x"})), False),
        (Selection(stages=frozenset({"accept"})), False),
        (Selection(codes=frozenset({"field_missing"}), stages=frozenset({"accept"})), False),
        (Selection(since_ms=1000), True),
        (Selection(since_ms=1001), False),
        (Selection(until_ms=1000), False),
        (Selection(until_ms=1001), True),
    ],
)
def test_a_selection_matches_when_every_condition_holds(selection: Selection, matches: bool) -> None:
    assert selection.matches(letter()) is matches


def test_times_and_ages_become_milliseconds() -> None:
    found = select(since="2h", until="2026-01-02T15:30:00+01:00", now=NOW)

    assert found.since_ms == NOW.timestamp() * 1000 - 7_200_000
    assert found.until_ms == NOW.timestamp() * 1000 - 1_800_000
    assert select(now=NOW) == Selection()


@pytest.mark.parametrize(
    "options",
    [
        {"since": "yesterday"},
        {"since": "2026-01-02T15:00:00"},
        {"since": "1h", "until": "2h"},
        {"since": "999999999d"},
        {"ids": ["2:7"], "code": ["x"]},
        {"ids": ["2:7"], "since": "1h"},
        {"ids": ["2"]},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError):
        select(**options, now=NOW)  # type: ignore[arg-type]


def test_groups_count_raw_records_once_and_keep_the_earliest_as_the_sample() -> None:
    groups = Groups()
    for found in (
        letter(at="2:7", time=50),
        letter(at="2:9", time=50),
        letter(at="1:3", time=20, origin=Origin("raw", 1, 1, "g")),
        letter(at="0:0", key=None, origin=None, reason=ACCEPT, time=30),
    ):
        groups.add(found)

    most, least = groups.by_size({letter(at="2:9").identity, LetterId(0, 1)})
    assert (most.code, most.bodies, most.records) == ("field_missing", 2, 3)
    assert [time.timestamp() * 1000 for time in (most.first_seen, most.last_seen)] == [20, 50]
    assert most.sample == LetterId(1, 3)
    assert (least.stage, least.bodies) == ("accept", 1)
    assert (most.replayed, least.replayed) == (1, 0)
    assert orjson.loads(STARTED)["call"]["id"] == "c"
    written = orjson.loads(json_bytes(most))
    counts = {"bodies": 2, "records": 3, "replayed": 1}
    times = {"first_seen": "1970-01-01T00:00:00.020000+00:00", "last_seen": "1970-01-01T00:00:00.050000+00:00"}
    said = {"stage": "normalize", "code": "field_missing", "sample": "1:3", "message": "said"}
    assert written == counts | times | said


def test_fields_of_the_json_of_a_listed_letter() -> None:
    listed = ListedLetter(LetterId(2, 7), NOW, "accept", "not_json", None, "raw/2/41", "said", letter().identity)

    assert orjson.loads(json_bytes(listed)) == {
        "id": "2:7",
        "time": "2026-01-02T15:00:00+00:00",
        "stage": "accept",
        "code": "not_json",
        "key": None,
        "origin": "raw/2/41",
        "message": "said",
        "replayed": False,
    }
