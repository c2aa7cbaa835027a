"""What a rewind would do, from the goal and what the broker says."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.kit.errors import UnsafeError, UsageError
from ops.rewind.follow import passed
from ops.rewind.json import plan_document, read_plan
from ops.rewind.plan import Facts, Forecast, Move, Plan, Rate, changed, dated, plan_moves, refuse_skipping
from ops.rewind.show import talk_of
from ops.rewind.target import (
    Goal,
    GoalOptions,
    ShiftBy,
    ToEarliest,
    ToGroup,
    ToLatest,
    ToOffset,
    ToTargets,
    ToTime,
    Undo,
    describe,
    goal_of,
    parse_scope,
)

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def plan_of(*moves: Move, forecast: Forecast | None = None, rate: Rate | None = None) -> Plan:
    return Plan("normalizer", "raw", "to the first record kept", moves, forecast, rate)


@pytest.mark.parametrize(
    ("goal", "facts", "target", "records", "skipped"),
    [
        (ToEarliest(), Facts(0, 80, 10, 100), 10, 70, 0),
        (ToLatest(), Facts(0, 80, 10, 100), 100, 0, 20),
        (ToLatest(), Facts(0, 100, 10, 100), 100, 0, 0),
        (ToOffset(30), Facts(0, 80, 10, 100), 30, 50, 0),
        (ToOffset(90), Facts(0, 80, 10, 100), 90, 0, 10),
        (ToOffset(10), Facts(0, 80, 10, 100), 10, 70, 0),
        (ShiftBy(-20), Facts(0, 80, 10, 100), 60, 20, 0),
        (ShiftBy(-200), Facts(0, 80, 10, 100), 10, 70, 0),
        (ShiftBy(3), Facts(0, 80, 10, 100), 83, 0, 3),
        (ToTime(1, ""), Facts(0, 80, 10, 100, lookup=40), 40, 40, 0),
        (ToTime(1, ""), Facts(0, 100, 10, 100), 100, 0, 0),
        (ToTime(1, ""), Facts(0, 80, 10, 100), 100, 0, 20),
        (ToGroup("g"), Facts(0, 80, 10, 100, lookup=70), 70, 10, 0),
        (ToGroup("g"), Facts(0, 80, 10, 100), None, 0, 0),
        (ToTargets({0: 50}, ""), Facts(0, 80, 10, 100), 50, 30, 0),
        (ToTargets({1: 50}, ""), Facts(0, 80, 10, 100), None, 0, 0),
        (Undo(1, {0: 80}), Facts(0, 30, 10, 100, progress=80), 80, 0, 0),
        (Undo(1, {0: 80}), Facts(0, 30, 10, 100, progress=75), 80, 0, 5),
        (Undo(1, {0: 80}), Facts(0, 80, 10, 100, progress=80), None, 0, 0),
        (Undo(1, {0: 80}), Facts(0, 95, 10, 100, progress=95), None, 0, 0),
        (Undo(1, {0: None}), Facts(0, 30, 10, 100), None, 0, 0),
        # Never committed: what the state table knows was processed, or nothing.
        (ToEarliest(), Facts(0, None, 10, 100), 10, 0, 0),
        (ToEarliest(), Facts(0, None, 10, 100, progress=60), 10, 50, 0),
        (ToOffset(70), Facts(0, None, 10, 100, progress=60), 70, 0, 10),
        # Retention was faster than the processors.
        (ToEarliest(), Facts(0, 5, 10, 100), 10, 0, 5),
    ],
)
def test_target_records_and_skipped(goal: Goal, facts: Facts, target: int | None, records: int, skipped: int) -> None:
    (move,) = plan_moves(goal, [facts])

    assert (move.target, move.records, move.skipped) == (target, records, skipped)
    assert move.moves == (target is not None and target != facts.committed)


@given(
    st.sampled_from(
        [ToEarliest(), ToLatest(), ToOffset(7), ShiftBy(-3), ShiftBy(4), ToTime(0, ""), ToTargets({0: 9}, "")]
    ),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_a_target_is_always_in_the_log_and_nothing_is_both_repeated_and_skipped(
    goal: Goal, start: int, more: int, committed: int
) -> None:
    facts = Facts(0, min(start + committed, start + more), start, start + more)
    try:
        (move,) = plan_moves(goal, [facts])
    except UnsafeError:
        return
    assert move.target is not None
    assert facts.log_start <= move.target <= facts.log_end
    assert move.target == (facts.committed or 0) - move.records + move.skipped
    assert 0 in {move.records, move.skipped}


def test_a_target_beyond_the_end_is_refused() -> None:
    with pytest.raises(UnsafeError, match="partition 3 ends at 100: offset 101"):
        plan_moves(ToOffset(101), [Facts(3, 80, 10, 100)])


def test_a_named_offset_that_retention_removed_is_refused() -> None:
    with pytest.raises(UnsafeError, match="partition 3 begins at 10: offset 5 was removed by retention"):
        plan_moves(ToOffset(5), [Facts(3, 80, 10, 100)])


def test_a_shift_needs_a_committed_offset() -> None:
    with pytest.raises(UnsafeError, match="partition 3 has no committed offset"):
        plan_moves(ShiftBy(-1), [Facts(3, None, 10, 100)])


def test_skipping_is_refused_with_the_number_of_records() -> None:
    moves = plan_moves(ToLatest(), [Facts(0, 80, 0, 100), Facts(1, 100, 0, 100), Facts(2, 99, 0, 100)])

    with pytest.raises(UnsafeError, match="21 records of partition 0, 2 were never processed"):
        refuse_skipping(plan_of(*moves))
    refuse_skipping(plan_of(moves[1]))


def test_what_retention_took_is_said() -> None:
    before = plan_moves(ShiftBy(-75), [Facts(0, 80, 10, 100)])
    exact = plan_moves(ToOffset(10), [Facts(0, 80, 10, 100)])

    (line, *_) = talk_of(plan_of(*dated(ShiftBy(-75), before, {0: NOW_MS})))
    assert "partition 0: retention has removed" in line
    assert "earliest kept is offset 10, 2026-11-22 14:00:00 UTC" in line
    assert not exact[0].expired


@pytest.mark.parametrize(
    ("start", "asked_ms", "expired"), [(10, NOW_MS - 1, True), (10, NOW_MS, False), (0, NOW_MS - 1, False)]
)
def test_a_time_before_the_first_record_kept_is_noticed(start: int, asked_ms: int, expired: bool) -> None:
    goal = ToTime(asked_ms, "")
    moves = plan_moves(goal, [Facts(0, 80, start, 100, lookup=start)])

    (move,) = dated(goal, moves, {0: NOW_MS})

    assert move.expired is expired
    assert move.target_ms == NOW_MS


def test_a_plan_is_stale_when_a_target_differs() -> None:
    shown = plan_moves(ShiftBy(-5), [Facts(0, 20, 0, 100), Facts(1, 20, 0, 100)])
    advanced = plan_moves(ShiftBy(-5), [Facts(0, 20, 0, 100), Facts(1, 21, 0, 100)])

    assert changed(shown, shown) == []
    assert changed(shown, advanced) == [1]


def test_an_advanced_group_does_not_make_a_plan_stale() -> None:
    shown = plan_moves(ToOffset(5), [Facts(0, 20, 0, 100)])
    advanced = plan_moves(ToOffset(5), [Facts(0, 50, 0, 120)])

    assert changed(shown, advanced) == []


def test_an_undo_that_is_no_longer_needed_is_not_stale() -> None:
    goal = Undo(1, {0: 80})
    shown = plan_moves(goal, [Facts(0, 30, 0, 100, progress=80)])
    passed_meanwhile = plan_moves(goal, [Facts(0, 85, 0, 100, progress=85)])

    assert changed(shown, passed_meanwhile) == []


def test_the_forecast_and_the_duration_are_said() -> None:
    moves = plan_moves(ToEarliest(), [Facts(0, 12_402, 0, 12_402)])
    plan = plan_of(*moves, forecast=Forecast(12_402, 12_390, 2), rate=Rate(1000.0, "measured by rewind 3"))

    assert talk_of(plan) == [
        "12,402 records: 12,390 events emitted again, 10 duplicates silent (transaction markers among them), "
        "2 dead letters written again",
        "about 12.4 s (1,000 records/s, measured by rewind 3)",
    ]


def test_nothing_to_do_is_said() -> None:
    assert talk_of(plan_of(*plan_moves(ToLatest(), [Facts(0, 9, 0, 9)]))) == [
        "nothing to do: every offset is there already"
    ]


@pytest.mark.parametrize(
    ("options", "goal"),
    [
        (GoalOptions(to="2026-11-22T15:00+01:00"), ToTime(NOW_MS, "2026-11-22 14:00:00 UTC")),
        (GoalOptions(since="2h"), ToTime(NOW_MS - 7_200_000, "2026-11-22 12:00:00 UTC, 2h ago")),
        (GoalOptions(earliest=True), ToEarliest()),
        (GoalOptions(latest=True), ToLatest()),
        (GoalOptions(offset=0), ToOffset(0)),
        (GoalOptions(shift=-5), ShiftBy(-5)),
        (GoalOptions(other_group="g"), ToGroup("g")),
    ],
)
def test_goals(options: GoalOptions, goal: Goal) -> None:
    found = goal_of(options, now=NOW)

    if isinstance(goal, ToTime):
        assert isinstance(found, ToTime)
        assert found.timestamp_ms == goal.timestamp_ms
    else:
        assert found == goal
    assert describe(found)


@pytest.mark.parametrize(
    "options",
    [
        GoalOptions(),
        GoalOptions(earliest=True, latest=True),
        GoalOptions(offset=0, since="1h"),
        GoalOptions(to="2026-11-22T15:00"),
        GoalOptions(since="soon"),
    ],
)
def test_wrong_goals(options: GoalOptions) -> None:
    with pytest.raises(UsageError):
        goal_of(options, now=NOW)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("ringover.raw.v1", ("ringover.raw.v1", None)),
        ("ringover.raw.v1:3,0,3", ("ringover.raw.v1", (0, 3))),
        (":7", (None, (7,))),
    ],
)
def test_scopes(text: str, scope: tuple[str | None, tuple[int, ...] | None]) -> None:
    assert parse_scope(text) == scope


@pytest.mark.parametrize("text", ["", "raw:", "raw:x", "raw:1,", "r/w", "a:1:2"])
def test_wrong_scopes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_scope(text)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_a_plan_comes_back_from_its_file(mark: bytes) -> None:
    moves = plan_moves(ToTargets({0: 5}, ""), [Facts(0, 20, 0, 100), Facts(1, 20, 0, 100)])

    found = read_plan(mark + orjson.dumps(plan_document(plan_of(*moves))), name="plan.json")

    assert (found.group, found.topic, found.goal) == ("normalizer", "raw", ToTargets({0: 5}, "plan.json"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"group": "g", "topic": "t", "partitions": [{"partition": 0}]}',
        b'{"group": "g", "topic": "t", "partitions": [{"partition": 0, "target": "5"}]}',
        b'{"group": "g", "topic": "t", "partitions": [{"partition": 0, "target": -5}]}',
        b'{"group": 1, "topic": "t", "partitions": []}',
    ],
)
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"x\.json is not a plan"):
        read_plan(text, name="x.json")


def test_progress_counts_each_partition_up_to_its_old_offset() -> None:
    plan = plan_of(*plan_moves(ToOffset(10), [Facts(0, 30, 0, 99), Facts(1, 20, 0, 99), Facts(2, 10, 0, 99)]))

    half = passed(plan, {0: 25, 1: 50, 2: 99}, 5.0)
    assert (half.records, half.of, half.done, half.rate) == (25, 30, False, 5.0)
    assert passed(plan, {0: 30, 1: 20}, 6.0).done
    assert passed(plan, {}, 0.0).rate == 0.0
