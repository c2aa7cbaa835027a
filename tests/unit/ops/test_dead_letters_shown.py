"""What is shown and hidden of dead letters, and how they are written to files and read back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from ops.dead_letters.jsonl import read_lines
from ops.dead_letters.ledger import LedgerEntry, signed
from ops.dead_letters.model import Letter, LetterId
from ops.dead_letters.outcome import outcome_today
from ops.dead_letters.plan import ReplayKind
from ops.dead_letters.read import LetterFacts
from ops.dead_letters.show import LetterDetails, described, lines_of, replayed
from ops.kit.dead_letter import StatedReason
from ops.kit.errors import UsageError
from ops.kit.export import exported
from ops.kit.masking import masked_body, shown_raw_header
from ops.kit.output import json_bytes
from schemas.dead_letter import Origin
from tests.support.traffic import started


def letter(value: bytes | None, key: bytes | None = b"c") -> Letter:
    headers = [("endpoint", b"call-started"), ("signature", b"feed"), ("x-other", b"secret\xff")]
    reason, origin = StatedReason("normalize", "old", "said\x1b[2J"), Origin("raw", 0, 3, "g")
    return Letter(LetterId(0, 5), 1000, reason, origin, key, headers, value)


def facts(found: Letter, *, owned: bool = False, others: Sequence[LetterId] = ()) -> LetterFacts:
    return LetterFacts(found, outcome_today(found), owned, others, None)


def shown(value: bytes | None, *, reveal: bool, key: bytes | None = b"c") -> LetterDetails:
    return described(facts(letter(value, key)), reveal=reveal)


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"event": "call.started"}, {"event": "call.started"}),
        ({"event": "Jean 0189000000"}, {"event": "•••"}),
        ({"timestamp": "2026-01-02T15:00:00Z"}, {"timestamp": "2026-01-02T15:00:00Z"}),
        ({"timestamp": "+33655443322"}, {"timestamp": "•••"}),
        ({"call": {"from": "+33655443322", "to": "0189"}}, {"call": {"from": "•••3322", "to": "•••"}}),
        ({"call": {"from": "123456", "to": "sip:0655443322"}}, {"call": {"from": "•••", "to": "•••"}}),
        ({"call": {"from": "1234567", "to": "01 89 00 00 00"}}, {"call": {"from": "•••4567", "to": "•••0 00"}}),
        ({"call": {"from": "Jean Dupont"}}, {"call": {"from": "•••"}}),
        ({"call": {"from": 33655443322}}, {"call": {"from": "•••"}}),
        ({"call": {"id": "ro_call_1", "note": "x"}}, {"call": {"id": "ro_call_1", "note": "•••"}}),
        ({"call": {"id": "+33655443322"}}, {"call": {"id": "•••"}}),
        ({"call": {"agent": {"id": "a@b.fr", "name": "Jean"}}}, {"call": {"agent": {"id": "•••", "name": "•••"}}}),
        ({"call": {"duration_sec": 312}}, {"call": {"duration_sec": 312}}),
        ({"call": {"duration_sec": 312.5}}, {"call": {"duration_sec": 312.5}}),
        ({"call": {"duration_sec": 655443322.0}}, {"call": {"duration_sec": "•••"}}),
        ({"call": {"duration_sec": 33655443322}}, {"call": {"duration_sec": "•••"}}),
        ({"transcript": {"text": "a secret", "language": "fr"}}, {"transcript": {"text": "•••", "language": "fr"}}),
        ({"recording": {"id": "r", "url": "https://x"}}, {"recording": {"id": "r", "url": "•••"}}),
        ({"event": ["call.started"]}, {"event": ["•••"]}),
        ({"other": None, "flag": True}, {"other": None, "flag": True}),
        ({"+33655443322": 1, "a b": 2}, {"•••1": "•••", "•••2": "•••"}),
        ([1, "x"], ["•••", "•••"]),
        ("x", "•••"),
    ],
)
def test_only_what_is_known_to_be_harmless_is_shown(body: object, seen: object) -> None:
    assert masked_body(body) == seen


def test_deep_bodies_are_cut() -> None:
    deep = b"[" * 900 + b"1" + b"]" * 900

    assert "•••" in orjson.dumps(shown(deep, reveal=False).body).decode()
    assert "…" in orjson.dumps(shown(deep, reveal=True).body).decode()


def test_headers_of_the_ingress_are_shown_and_the_signature_never() -> None:
    hidden, plain = shown(b"{}", reveal=False).headers, shown(b"{}", reveal=True).headers

    assert hidden == {"signature": "present", "endpoint": "call-started", "x-other": "•••"}
    assert plain == {"signature": "present", "endpoint": "call-started", "x-other": "secret\\xff"}
    assert shown_raw_header("signature", b"feed") == "present"


def test_bodies_that_are_not_json_are_shown_only_revealed() -> None:
    assert shown(b"secret\xff\x1b", reveal=False).body == "not JSON, 8 bytes: •••"
    assert shown(b"secret\xff\x1b", reveal=True).body == "not JSON, 8 bytes: secret\\xff\\x1b"
    assert shown(None, reveal=False).body == "not JSON, 0 bytes: •••"


def test_a_body_with_a_byte_order_mark_is_shown_as_json() -> None:
    body = b'\xef\xbb\xbf{"event":"call.started","x":"secret"}'

    assert shown(body, reveal=False).body == {"event": "call.started", "x": "•••"}
    assert shown(body, reveal=True).body == {"event": "call.started", "x": "secret"}


def test_a_key_that_may_be_a_number_is_hidden() -> None:
    assert shown(b"{}", reveal=False, key=b"+33655443322").key == "•••"
    assert shown(b"{}", reveal=True, key=b"+33655443322").key == "+33655443322"
    assert shown(b"{}", reveal=False, key=None).key is None


def test_lines_for_people_cannot_move_the_cursor() -> None:
    text = "\n".join(lines_of(shown(b'{"a":"\\u009b2J"}', reveal=True)))

    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "raw/0/3" in text


def test_today_and_duplicates_are_told() -> None:
    found = letter(started("c").body)

    told = described(facts(found, owned=True, others=[LetterId(0, 9)]), reveal=False)

    assert told.today == "would be an event now (call.started), and a duplicate: another record owns its key"
    assert told.other_passes == [LetterId(0, 9)]
    assert '"0:9"' in "".join(lines_of(told))


def test_fields_of_the_json_of_a_letter() -> None:
    written = orjson.loads(json_bytes(shown(b"{}", reveal=False)))

    where = {"id", "time", "origin", "group", "other_passes", "replayed"}
    assert written.keys() == where | {"reason", "key", "headers", "body", "today"}
    assert (written["id"], written["time"]) == ("0:5", "1970-01-01T00:00:01+00:00")
    assert written["reason"] == {"stage": "normalize", "code": "old", "message": "said\x1b[2J"}


def test_where_it_was_replayed_is_told() -> None:
    entry = LedgerEntry(LetterId(0, 5), 2, 10, 12, "me@here replay", datetime(2026, 1, 2, tzinfo=UTC), 1.0)
    unsettled = LedgerEntry(LetterId(0, 5), 2, 10, None, "me@here import", datetime(2026, 1, 2, tzinfo=UTC), 1.0)

    assert (replayed(entry) or "").startswith("partition 2, offset 12 of the raw topic, 2026-01-02 00:00:00 UTC")
    assert (replayed(unsettled) or "").endswith("by me@here import, not settled yet")
    assert (entry.kind, unsettled.kind) == (ReplayKind.REPLAY, ReplayKind.IMPORT)
    assert signed(ReplayKind.IMPORT).endswith(" import")


@pytest.mark.parametrize("value", [b'{"a": 1}', b"\xff\xfe", b"", None, '"é•"'.encode()])
@pytest.mark.parametrize("key", [b"c", b"\xff", None])
def test_a_line_is_read_as_it_was_written(value: bytes | None, key: bytes | None) -> None:
    written = letter(value, key)

    assert read_lines(exported(written) + b"\n\n") == [written]


def test_a_file_that_an_editor_began_with_a_byte_order_mark_is_read() -> None:
    written = letter(b"{}")

    assert read_lines(b"\xef\xbb\xbf" + exported(written)) == [written]


def test_a_null_header_stays_null_from_file_to_file_and_is_shown_as_null() -> None:
    headers = [("a", None), ("a", b""), ("signature", None), ("a", None)]
    odd = replace(letter(b"x"), headers=headers)

    assert read_lines(exported(odd)) == [odd]
    assert described(facts(odd), reveal=True).headers == {"signature": None, "a": None}


def test_a_letter_of_the_ingress_has_no_origin_in_its_line() -> None:
    aside = Letter(LetterId(1, 2), 5, StatedReason("accept", "not_json", ""), None, None, [], b"{")

    assert read_lines(exported(aside)) == [aside]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "x"}, "partition:offset"),
        ({"value": {"a": 1}}, "as a string"),
        ({"value": {"base64": "!"}}, "base64"),
        ({"value": 1}, "as a string"),
        ({"reason": None}, "line 2"),
        ({"headers": [["a"]]}, "line 2"),
        ({"origin": {"topic": "t"}}, "partition is missing"),
        ({"timestamp_ms": "x"}, "number"),
    ],
)
def test_a_line_that_is_not_ours_is_named_and_not_shown(change: dict[str, object], said: str) -> None:
    line = orjson.loads(exported(letter(b"a-secret-body")))

    with pytest.raises(UsageError) as caught:
        read_lines(orjson.dumps(line) + b"\n" + orjson.dumps(line | change))

    assert said in str(caught.value)
    assert "line 2" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_line_that_is_not_json_is_named() -> None:
    with pytest.raises(UsageError, match="line 1 is not JSON"):
        read_lines(b"secret")
