"""What an erasure finds, what goes and until when the rest stays."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.erase.plan import CHECK_MS, OUT_OF_REACH, CallState, ErasePlan, ErasureRequest, Holding, Keeping, erasable
from ops.erase.run import Erased
from ops.erase.show import notes, tables, what_is_left
from ops.erase.subject import Number, letter_pattern, parse_number, searched
from ops.kit.claims import ClaimRow
from ops.kit.errors import UsageError
from ops.kit.output import json_bytes, stdout
from schemas.topics import DAY_MS, OFFSET, TOPICS

NOW = datetime(2026, 1, 2, 15, tzinfo=UTC)
NUMBER = Number("+33601020304")
LATER = NOW + timedelta(days=37)
LOG_STARTS = {1: 100}


def claim(offset: int, key: str = "ringover:call.started:c") -> ClaimRow:
    return ClaimRow(key, 1, offset, NOW, 0, 2)


def call(*, sources: int = 0, events: int = 0, claims: tuple[ClaimRow, ...] = (), conflicts: int = 0) -> CallState:
    return CallState("c", sources, events, claims, conflicts, erasable(sources, claims, LOG_STARTS))


def plan(*calls: CallState, raw: Holding | None = None) -> ErasePlan:
    topics = (raw or Holding("raw", 0, None, None), Holding("call", 0, None, None))
    return ErasePlan("call c", topics, calls, LOG_STARTS)


@pytest.mark.parametrize(
    "body",
    [
        b'{"to":"+33601020304"}',
        b'{"to":"33601020304"}',
        b'{"to":"0033601020304"}',
        b'{"to":33601020304}',
        b"+33 6 01 02 03 04",
        b"(33)601.020-304",
        b"tel=%2B33601020304&x",
    ],
)
def test_a_number_is_found_however_it_is_written(body: bytes) -> None:
    assert NUMBER.pattern().search(body)


@pytest.mark.parametrize("body", [b"+336010203045", b"133601020304", b"+33601020305", b"", b"33 601 x 020304"])
def test_another_number_is_not_found(body: bytes) -> None:
    assert not NUMBER.pattern().search(body)


EXTENSION, ADDRESS = Number("204"), Number("sip:j/é@voix.example")


@pytest.mark.parametrize(
    ("number", "record"),
    [
        (EXTENSION, (b"c", b'{"to":"204"}', [])),
        (EXTENSION, (b"c", b'{"from" : 204}', [])),
        (EXTENSION, (b"c", b'{"to_e164":null}', [("ce_tonumber", b"204")])),
        (EXTENSION, (b"c", None, [("ce_fromnumber", b"204"), ("ce_tonumber", b"7")])),
        (ADDRESS, (b"c", '{"to":"sip:j/é@voix.example"}'.encode(), [])),
        (ADDRESS, (b"c", rb'{"from":"SIP:j\/\u00E9@VOIX.example"}', [])),
        (ADDRESS, (b"c", b"{}", [("ce_tonumber", "sip:j/é@voix.example".encode())])),
        (NUMBER, (b"c", b"{}", [("ce_fromnumber", b"sip:+33601020304@voix.example")])),
    ],
)
def test_an_extension_or_an_address_is_found_in_bodies_and_headers(
    number: Number, record: tuple[bytes, bytes | None, list[tuple[str, bytes | None]]]
) -> None:
    assert number.pattern().search(searched(*record))


@pytest.mark.parametrize(
    ("number", "record"),
    [
        (EXTENSION, (b"204", b'{"duration_sec":204}', [("ce_subject", b"204")])),
        (EXTENSION, (b"c", b'{"to":"2041"}', [("ce_tonumber", b"2041")])),
        (EXTENSION, (b"c", b'{"to":2041}', [("ce_tonumber", None)])),
        (EXTENSION, (b"c", b'{"to":"+33204"}', [])),
        (ADDRESS, (b"c", '{"to":"sip:j/é@voix.example.com"}'.encode(), [])),
        (ADDRESS, (b"c", b"{}", [("ce_tonumber", "xsip:j/é@voix.example".encode())])),
    ],
)
def test_another_number_of_few_digits_is_not_found(
    number: Number, record: tuple[bytes, bytes | None, list[tuple[str, bytes | None]]]
) -> None:
    assert not number.pattern().search(searched(*record))


@pytest.mark.parametrize("text", ["204", "7", "118712", "sip:jean@voix.example", "SIP:204@voix.example"])
def test_an_extension_or_an_address_is_taken_and_never_shown(text: str) -> None:
    assert str(parse_number(text)) == "number •••"


@pytest.mark.parametrize("options", ["--number 33601020304", "--number +33601020304 --pending", "--number -", ""])
def test_usage_errors_end_with_2_and_do_not_repeat_the_number(options: str) -> None:
    result = CliRunner().invoke(app, ["erase", *options.split()], input="33601020304\n", env={"NO_COLOR": "1"})

    assert result.exit_code == 2
    assert "601020304" not in result.output


@pytest.mark.parametrize(
    "text", ["0601020304", "+33", "33601020304", "+33601020304x", "jean@example.org", "", "1234567", "sip: x", "+204"]
)
def test_what_is_no_number_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_number(text)

    assert not text or text not in str(refused.value)


def test_a_dead_letter_is_found_by_a_whole_id_or_by_the_number() -> None:
    by_id, by_number = letter_pattern(["a.b"], None), letter_pattern([], NUMBER)

    assert by_id is not None
    assert by_number is not None
    assert by_id.search(b'{"call":{"id":"a.b"}')
    assert not by_id.search(b'{"call":{"id":"a.bc"},"x":"axb"}')
    assert by_number.search(b"to +33601020304")
    assert letter_pattern([], None) is None


def test_a_record_is_gone_once_the_newest_of_its_segment_is() -> None:
    keeping = Keeping.of(
        {"retention.ms": str(30 * DAY_MS), "segment.ms": str(7 * DAY_MS), "file.delete.delay.ms": "60"}
    )
    peak = int(NOW.timestamp() * 1000)

    assert keeping.until(peak) == NOW + timedelta(days=37, milliseconds=CHECK_MS + 60)


def test_without_retention_it_stays_for_ever() -> None:
    assert Keeping(-1, DAY_MS, 0).until(0) is None


def test_rows_stay_while_a_record_of_the_call_can_be_read_again() -> None:
    kept = plan(call(sources=1, claims=(claim(5),), conflicts=1), raw=Holding("raw", 1, NOW, LATER))

    assert (kept.erasable, len(kept.rows), kept.remains, kept.gone_at_the_latest) == ([], 2, True, LATER)
    assert all(row.kept for row in kept.rows)


def test_rows_stay_while_their_owner_may_be_in_the_raw_log() -> None:
    assert not call(claims=(claim(5), claim(100))).erasable
    assert call(claims=(claim(5), claim(99))).erasable


def test_rows_go_when_the_raw_log_has_let_go_of_the_call() -> None:
    gone = plan(call(claims=(claim(5),), conflicts=2))

    assert (len(gone.erasable), gone.remains, gone.gone_at_the_latest) == (1, False, None)
    assert [(row.what, row.count, row.kept) for row in gone.rows] == [("claims", 1, False), ("conflicts", 2, False)]
    assert not gone.calls[0].left_afterwards


def test_events_on_a_topic_remain_although_the_rows_go() -> None:
    events = ErasePlan("call c", (Holding("raw", 0, None, None), Holding("call", 2, NOW, LATER)), (call(events=2),), {})

    assert events.remains
    assert events.gone_at_the_latest == LATER
    assert events.calls[0].left_afterwards


def test_what_never_goes_is_said_to_stay_for_ever() -> None:
    stays = plan(call(sources=1), raw=Holding("raw", 1, NOW, None))

    assert stays.for_ever
    assert stays.gone_at_the_latest is None
    assert "for ever" in what_is_left(stays)
    assert "never" in _text(stays)


def test_nothing_found_is_not_known() -> None:
    assert not plan(call()).known
    assert plan(call(conflicts=1)).known


def test_the_table_says_what_happens_to_each() -> None:
    text = _text(plan(call(sources=1, claims=(claim(5),)), raw=Holding("raw", 1, NOW, LATER)))

    assert "cannot be deleted" in text
    assert "stays while raw topic or dead letters" in text
    assert "2026-02-08" in text
    assert "erased" in _text(plan(call(claims=(claim(5),))))


def test_the_account_names_what_is_out_of_reach() -> None:
    said = "\n".join(notes(plan(call(sources=1), raw=Holding("raw", 1, NOW, LATER))))

    assert all(place in said for place in OUT_OF_REACH)
    assert "INGRESS_SPOOL_DIR" in said
    assert "rewind" in said


def test_many_calls_are_cut_for_people_and_whole_for_scripts() -> None:
    many = ErasePlan("n", (), tuple(CallState(f"c{number}", 1, 0, (), 1, False) for number in range(25)), {})

    assert "and 5 more" in next(notes(many))
    listed = orjson.loads(json_bytes(many))["calls"]
    assert [found["call_id"] for found in listed] == [f"c{number}" for number in range(25)]


def test_json_has_these_fields() -> None:
    request = ErasureRequest(7, "ann@host", "call", NOW, ["c"], LATER, True)
    topics = (Holding("raw", 1, NOW, LATER),)
    found = ErasePlan("call c", topics, (call(sources=1, claims=(claim(5),)),), {1: 100}, [request])
    at, later = "2026-01-02T15:00:00+00:00", "2026-02-08T15:00:00+00:00"

    assert orjson.loads(json_bytes(found)) == {
        "subject": "call c",
        "topics": [{"topic": "raw", "records": 1, "newest": at, "gone_at_the_latest": later}],
        "calls": [
            {
                "call_id": "c",
                "sources": 1,
                "events": 0,
                "claims": [
                    {
                        "key": "ringover:call.started:c",
                        "partition": 1,
                        "offset": 5,
                        "time": at,
                        "content_hash": 0,
                        "records": 2,
                    }
                ],
                "conflicts": 0,
                "erasable": False,
            }
        ],
        "log_starts": {"1": 100},
        "requests": [
            {
                "erasure_id": 7,
                "who": "ann@host",
                "kind": "call",
                "requested_at": at,
                "call_ids": ["c"],
                "until": later,
                "waiting": True,
            }
        ],
        "rows": [{"what": "claims", "count": 1, "kept": True}],
        "remains": True,
        "gone_at_the_latest": later,
        "out_of_reach": list(OUT_OF_REACH),
    }
    erased = {"claims": 1, "conflicts": 2, "erasure_id": 3, "completed": [7]}
    assert orjson.loads(json_bytes(Erased(1, 2, 3, [7]))) == erased


def test_no_topic_with_calls_is_compacted() -> None:
    """What `erase` says. A compacted topic would need tombstones for the erased calls: write that first."""
    assert {topic.name for topic in TOPICS if topic.config["cleanup.policy"] != "delete"} == {OFFSET.name}


def _text(shown: ErasePlan) -> str:
    console = stdout()
    with console.capture() as captured:
        for grid in tables(shown):
            console.print(grid)
    return captured.get()
