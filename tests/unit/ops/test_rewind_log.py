"""What the audit of rewinds says."""

import json
from datetime import UTC, datetime

import orjson
import pytest

from ops.kit.output import json_bytes
from ops.rewind.audit import MOVED, RewindEntry, measured_rate, offsets_of, passed_again, told

BEGUN = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def entry(*, committed: bool = False, outcome: str | None = None, under_way: bool = False) -> RewindEntry:
    return RewindEntry(
        rewind_id=7,
        group="normalizer",
        topic="raw",
        who="ana@ops1",
        arguments="rewind --to-earliest --execute",
        before={0: 50, 1: 60},
        target={0: 10, 1: 0},
        begun_at=BEGUN,
        committed_at=BEGUN if committed else None,
        outcome=outcome,
        under_way=under_way,
    )


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({0: 50, 1: 60}, "the offsets are the old ones"),
        ({0: 10, 1: 0}, "the offsets are the new ones"),
        ({0: 70, 1: 30}, "the offsets were moved"),
        ({0: 50, 1: 0}, "the offsets were moved"),
        ({0: 51, 1: 60}, "they were not moved, or are passed again"),
        (None, "not known"),
    ],
)
def test_an_interrupted_rewind_says_what_the_offsets_say(now: dict[int, int | None] | None, said: str) -> None:
    text = told(entry(), now).outcome

    assert text is not None
    assert text.startswith("interrupted: ")
    assert said in text


def test_other_outcomes() -> None:
    passed = "passed again: 90 records in 2.00 s"

    assert told(entry(under_way=True), None).outcome == "under way"
    assert told(entry(committed=True), None).outcome == MOVED
    assert told(entry(committed=True, outcome=MOVED), None).outcome == MOVED
    assert told(entry(committed=True, outcome=passed), None).outcome == passed
    assert [found.decided for found in (entry(), entry(under_way=True), entry(committed=True))] == [False, True, True]


def test_the_rate_is_read_back_from_the_outcome() -> None:
    rate = measured_rate(7, passed_again(12_000, 4.0))

    assert rate is not None
    assert rate.records_per_second == 3000.0
    assert "rewind 7" in rate.source


@pytest.mark.parametrize("outcome", [MOVED, "", passed_again(999, 1.0), passed_again(5000, 0.0)])
def test_no_rate_is_made_up(outcome: str) -> None:
    assert measured_rate(7, outcome) is None


def test_offsets_survive_the_audit() -> None:
    offsets = {0: 5, 11: None}
    # As psycopg writes them.
    assert offsets_of(json.loads(json.dumps(offsets))) == offsets


def test_an_entry_for_scripts() -> None:
    document = orjson.loads(json_bytes(told(entry(committed=True, outcome=MOVED), None)))

    assert document == {
        "rewind_id": 7,
        "group": "normalizer",
        "topic": "raw",
        "who": "ana@ops1",
        "arguments": "rewind --to-earliest --execute",
        "before": {"0": 50, "1": 60},
        "target": {"0": 10, "1": 0},
        "begun_at": "2026-11-22T14:00:00+00:00",
        "committed_at": "2026-11-22T14:00:00+00:00",
        "outcome": MOVED,
        "under_way": False,
    }
