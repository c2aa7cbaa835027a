"""What the audit of rewinds says."""

from datetime import UTC, datetime

import orjson
import pytest

from ops.rewind.json import offsets_document, offsets_of
from ops.rewind.log import MOVED, Entry, entry_document, measured_rate, outcome_of, passed_again

BEGUN = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def entry(*, committed: bool = False, outcome: str | None = None, paused: bool = False) -> Entry:
    return Entry(
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
        paused=paused,
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
    text = outcome_of(entry(), now)

    assert text.startswith("interrupted: ")
    assert said in text


def test_other_outcomes() -> None:
    assert outcome_of(entry(paused=True), None) == "under way"
    assert outcome_of(entry(committed=True, outcome=MOVED), None) == MOVED
    assert outcome_of(entry(committed=True, outcome="passed again: 90 records in 2.00 s"), None).startswith("passed")


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
    assert offsets_of(orjson.loads(offsets_document(offsets))) == offsets


def test_an_entry_for_scripts() -> None:
    document = entry_document(entry(committed=True, outcome=MOVED), None)

    assert document["before"] == {"0": 50, "1": 60}
    assert document["committed_at"] == "2026-11-22T14:00:00+00:00"
    assert document["outcome"] == MOVED
