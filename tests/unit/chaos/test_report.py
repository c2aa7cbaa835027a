"""The tables: which fault a webhook counts for, and what is counted."""

from dataclasses import replace

from tests.chaos.checker import judge
from tests.chaos.journal import Attempt
from tests.chaos.report import ALL, QUIET, Window, Windows, fates_table, markdown, senders_table, tables, tallies
from tests.chaos.watch import Sample, caught_up
from tests.support.comparison import Invariant
from tests.unit.chaos.history import after, changed, correct, stored

CORRECT = correct()
END = CORRECT.deliveries[-1].answered
WINDOWS = Windows([Window("a", "x", 10, 20), Window("b", "x", 18, 40), Window("a", "x", 100, 110)])


def test_a_moment_belongs_to_the_faults_that_were_there_until_5_s_after() -> None:
    assert WINDOWS.at(5) == {QUIET}
    assert WINDOWS.at(10) == {"a"}
    assert WINDOWS.at(19) == {"a", "b"}
    assert WINDOWS.at(24.9) == {"a", "b"}
    assert WINDOWS.at(25) == {"b"}
    assert WINDOWS.at(50) == {QUIET}
    assert WINDOWS.at(114) == {"a"}
    assert WINDOWS.at(1e9) == {QUIET}
    assert Windows([]).at(1) == {QUIET}


def test_every_acknowledged_webhook_has_a_fate() -> None:
    found = tallies(WINDOWS, CORRECT.deliveries, judge(CORRECT))

    acked = sum(delivery.acked for delivery in CORRECT.deliveries)
    assert found[ALL].acked == acked == sum(found[ALL].fates.values())
    assert found[ALL].statuses == {202: acked, 401: len(CORRECT.deliveries) - acked}
    assert found["a"].acked + found["b"].acked + found[QUIET].acked > acked
    assert found[ALL].lost == set()


def test_a_violation_counts_for_the_fault_of_its_webhook_and_once_for_all() -> None:
    lost = CORRECT.deliveries[12]
    history = after(CORRECT.deliveries, stored([one for one in CORRECT.deliveries if one is not lost]))
    found = tallies(WINDOWS, history.deliveries, judge(history))

    assert WINDOWS.at(lost.answered) == {"a"}
    assert found["a"].lost == found[ALL].lost == {lost.request_id}
    assert found["b"].lost == set()
    row = next(row for row in fates_table("faults x invariants", WINDOWS, found).rows if row[0] == "a")
    assert row[1:3] == ["2", "20"]
    assert int(row[3]) == int(row[4]) + 1


def test_what_concerns_no_webhook_counts_for_all() -> None:
    state = replace(CORRECT.left.state, conflicts=-1)
    found = tallies(WINDOWS, CORRECT.deliveries, judge(changed(CORRECT, state=state)))

    assert {name for name, tally in found.items() if tally.violations[Invariant.I8]} == {ALL}


def test_refusals_and_the_slowest_acknowledgement() -> None:
    slow = [Attempt(11, 12, 503), Attempt(12, 13, 0), Attempt(13, 19.5, 202)]
    deliveries = [replace(CORRECT.deliveries[0], attempts=slow)]
    found = tallies(WINDOWS, deliveries, judge(CORRECT))

    assert found["a"].statuses == {503: 1, 0: 1, 202: 1}
    assert found["b"].statuses == {202: 1}
    assert found["a"].slowest == 6.5
    rows = senders_table(WINDOWS, found, deliveries, []).rows
    assert rows[0][:7] == ["a", "3", "1", "1", "0", "1", "6.5"]


def test_caught_up_is_when_all_is_processed_that_was_there_then() -> None:
    samples = [
        Sample(1, {0: 5, 1: 5}, {0: 5}),
        Sample(2, {0: 9, 1: 9}, {0: 9, 1: 4}),
        Sample(3, {0: 99, 1: 99}, {0: 9, 1: 9}),
    ]

    assert caught_up(samples, 1.5) == 1.5
    assert caught_up(samples, 0) == 3
    assert caught_up(samples, 2.5) is None
    assert caught_up(samples, 4) is None
    assert [sample.lag for sample in samples] == [5, 5, 180]


def test_faults_of_a_kind_are_one_row() -> None:
    found = tables(WINDOWS.all, CORRECT.deliveries, judge(CORRECT), [])

    assert [[row[0] for row in table.rows] for table in found[:2]] == [["x", QUIET, ALL], ["a", "b", QUIET, ALL]]
    assert found[0].rows[0][1] == "3"
    assert found[0].rows[-1] == found[1].rows[-1]


def test_markdown_has_every_row() -> None:
    text = markdown([fates_table("faults x invariants", WINDOWS, tallies(WINDOWS, CORRECT.deliveries, judge(CORRECT)))])

    assert text.splitlines()[0] == "**Faults x invariants**"
    assert [line.split(" | ")[0] for line in text.splitlines()[4:]] == ["| a", "| b", f"| {QUIET}", f"| {ALL}"]
