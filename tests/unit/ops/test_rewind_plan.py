"""What a rewind would do, from the goal and what the broker says."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.kit.errors import StaleError, UnsafeError, UsageError
from ops.kit.output import json_bytes
from ops.rewind.audit import Rate
from ops.rewind.execute import Rewound
from ops.rewind.plan import (
    Forecast,
    PartitionMove,
    PartitionPosition,
    RewindPlan,
    dated,
    plan_moves,
    refuse_changed,
    refuse_skipping,
    refuse_unkept,
)
from ops.rewind.run import passed
from ops.rewind.show import notes
from ops.rewind.target import (
    ShiftBy,
    Target,
    ToEarliest,
    ToGroup,
    ToLatest,
    ToOffset,
    ToTargets,
    ToTime,
    Undo,
    describe,
    parse_plan,
    parse_scope,
    target_of,
)

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def plan_of(*moves: PartitionMove, forecast: Forecast | None = None, rate: Rate | None = None) -> RewindPlan:
    return RewindPlan("normalizer", "raw", "to the first record kept", moves, forecast, *(rate or ()))


@pytest.mark.parametrize(
    ("goal", "position", "target", "records", "skipped"),
    [
        (ToEarliest(), PartitionPosition(0, 80, 10, 100), 10, 70, 0),
        (ToLatest(), PartitionPosition(0, 80, 10, 100), 100, 0, 20),
        (ToLatest(), PartitionPosition(0, 100, 10, 100), 100, 0, 0),
        (ToOffset(30), PartitionPosition(0, 80, 10, 100), 30, 50, 0),
        (ToOffset(90), PartitionPosition(0, 80, 10, 100), 90, 0, 10),
        (ToOffset(10), PartitionPosition(0, 80, 10, 100), 10, 70, 0),
        (ShiftBy(-20), PartitionPosition(0, 80, 10, 100), 60, 20, 0),
        (ShiftBy(-200), PartitionPosition(0, 80, 10, 100), 10, 70, 0),
        (ShiftBy(3), PartitionPosition(0, 80, 10, 100), 83, 0, 3),
        (ToTime(1, ""), PartitionPosition(0, 80, 10, 100, lookup=40), 40, 40, 0),
        (ToTime(1, ""), PartitionPosition(0, 100, 10, 100), 100, 0, 0),
        (ToTime(1, ""), PartitionPosition(0, 80, 10, 100), 100, 0, 20),
        (ToGroup("g"), PartitionPosition(0, 80, 10, 100, lookup=70), 70, 10, 0),
        (ToGroup("g"), PartitionPosition(0, 80, 10, 100), None, 0, 0),
        (ToTargets({0: 50}, ""), PartitionPosition(0, 80, 10, 100), 50, 30, 0),
        (ToTargets({1: 50}, ""), PartitionPosition(0, 80, 10, 100), None, 0, 0),
        (Undo(1, {0: 80}), PartitionPosition(0, 30, 10, 100, progress=80), 80, 0, 0),
        (Undo(1, {0: 80}), PartitionPosition(0, 30, 10, 100, progress=75), 80, 0, 5),
        (Undo(1, {0: 80}), PartitionPosition(0, 80, 10, 100, progress=80), None, 0, 0),
        (Undo(1, {0: 80}), PartitionPosition(0, 95, 10, 100, progress=95), None, 0, 0),
        (Undo(1, {0: None}), PartitionPosition(0, 30, 10, 100), None, 0, 0),
        # Never committed: what the state table knows was processed, or nothing.
        (ToEarliest(), PartitionPosition(0, None, 10, 100), 10, 0, 0),
        (ToEarliest(), PartitionPosition(0, None, 10, 100, progress=60), 10, 50, 0),
        (ToOffset(70), PartitionPosition(0, None, 10, 100, progress=60), 70, 0, 10),
        # Retention was faster than the processors.
        (ToEarliest(), PartitionPosition(0, 5, 10, 100), 10, 0, 5),
    ],
)
def test_target_records_and_skipped(
    goal: Target, position: PartitionPosition, target: int | None, records: int, skipped: int
) -> None:
    (move,) = plan_moves(goal, [position])

    assert (move.target, move.records, move.skipped) == (target, records, skipped)
    assert move.moves == (target is not None and target != position.committed)


@given(
    st.sampled_from(
        [ToEarliest(), ToLatest(), ToOffset(7), ShiftBy(-3), ShiftBy(4), ToTime(0, ""), ToTargets({0: 9}, "")]
    ),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_a_target_is_always_in_the_log_and_nothing_is_both_repeated_and_skipped(
    goal: Target, start: int, more: int, committed: int
) -> None:
    position = PartitionPosition(0, min(start + committed, start + more), start, start + more)
    try:
        (move,) = plan_moves(goal, [position])
    except UnsafeError:
        return
    assert move.target is not None
    assert position.log_start <= move.target <= position.log_end
    assert move.target == (position.committed or 0) - move.records + move.skipped
    assert 0 in {move.records, move.skipped}


def test_a_target_beyond_the_end_is_refused() -> None:
    with pytest.raises(UnsafeError, match="partition 3 ends at 100: offset 101"):
        plan_moves(ToOffset(101), [PartitionPosition(3, 80, 10, 100)])


def test_a_named_offset_that_retention_removed_is_refused() -> None:
    with pytest.raises(UnsafeError, match="partition 3 begins at 10: offset 5 was removed by retention"):
        plan_moves(ToOffset(5), [PartitionPosition(3, 80, 10, 100)])


def test_a_shift_needs_a_committed_offset() -> None:
    with pytest.raises(UnsafeError, match="partition 3 has no committed offset"):
        plan_moves(ShiftBy(-1), [PartitionPosition(3, None, 10, 100)])


def test_skipping_is_refused_with_the_number_of_records() -> None:
    moves = plan_moves(
        ToLatest(),
        [PartitionPosition(0, 80, 0, 100), PartitionPosition(1, 100, 0, 100), PartitionPosition(2, 99, 0, 100)],
    )

    with pytest.raises(UnsafeError, match="21 records of partition 0, 2 were never processed"):
        refuse_skipping(plan_of(*moves))
    refuse_skipping(plan_of(moves[1]))


def test_what_retention_took_is_said() -> None:
    before = plan_moves(ShiftBy(-75), [PartitionPosition(0, 80, 10, 100)])
    exact = plan_moves(ToOffset(10), [PartitionPosition(0, 80, 10, 100)])

    (line, *_) = notes(plan_of(*dated(ShiftBy(-75), before, {0: NOW_MS})))
    assert "partition 0: retention has removed" in line
    assert "earliest kept is offset 10, 2026-11-22 14:00:00 UTC" in line
    assert not exact[0].expired


@pytest.mark.parametrize(
    ("start", "asked_ms", "expired"), [(10, NOW_MS - 1, True), (10, NOW_MS, False), (0, NOW_MS - 1, False)]
)
def test_a_time_before_the_first_record_kept_is_noticed(start: int, asked_ms: int, expired: bool) -> None:
    goal = ToTime(asked_ms, "")
    moves = plan_moves(goal, [PartitionPosition(0, 80, start, 100, lookup=start)])

    (move,) = dated(goal, moves, {0: NOW_MS})

    assert move.expired is expired
    assert move.target_time == NOW


def test_a_plan_is_stale_when_a_target_differs() -> None:
    shown = plan_moves(ShiftBy(-5), [PartitionPosition(0, 20, 0, 100), PartitionPosition(1, 20, 0, 100)])
    advanced = plan_moves(ShiftBy(-5), [PartitionPosition(0, 20, 0, 100), PartitionPosition(1, 21, 0, 100)])

    refuse_changed(shown, shown)
    with pytest.raises(StaleError, match="the target in partition 1 is another one now; nothing was touched"):
        refuse_changed(shown, advanced)


def test_an_advanced_group_does_not_make_a_plan_stale() -> None:
    shown = plan_moves(ToOffset(5), [PartitionPosition(0, 20, 0, 100)])
    advanced = plan_moves(ToOffset(5), [PartitionPosition(0, 50, 0, 120)])

    refuse_changed(shown, advanced)


def test_an_undo_that_is_no_longer_needed_is_not_stale() -> None:
    goal = Undo(1, {0: 80})
    shown = plan_moves(goal, [PartitionPosition(0, 30, 0, 100, progress=80)])
    passed_meanwhile = plan_moves(goal, [PartitionPosition(0, 85, 0, 100, progress=85)])

    refuse_changed(shown, passed_meanwhile)


def test_a_plan_from_a_file_is_stale_when_retention_has_removed_its_target() -> None:
    target = ToTargets({0: 5, 1: 50}, "plan.json")
    plan = plan_of(*plan_moves(target, [PartitionPosition(0, 80, 10, 100), PartitionPosition(1, 80, 10, 100)]))

    with pytest.raises(StaleError, match="partition 0 is"):
        refuse_unkept(target, plan)
    refuse_unkept(ShiftBy(-75), plan)


def test_the_forecast_and_the_duration_are_said() -> None:
    moves = plan_moves(ToEarliest(), [PartitionPosition(0, 12_402, 0, 12_402)])
    plan = plan_of(*moves, forecast=Forecast(12_402, 12_390, 2), rate=Rate(1000.0, "measured by rewind 3"))

    assert notes(plan) == [
        "12,402 records: 12,390 events emitted again, 10 duplicates silent (transaction markers among them), "
        "2 dead letters written again",
        "about 12.4 s (1,000 records/s, measured by rewind 3)",
    ]


def test_nothing_to_do_is_said() -> None:
    assert notes(plan_of(*plan_moves(ToLatest(), [PartitionPosition(0, 9, 0, 9)]))) == [
        "nothing to do: every offset is there already"
    ]


@pytest.mark.parametrize(
    ("options", "goal"),
    [
        ({"to": "2026-11-22T15:00+01:00"}, ToTime(NOW_MS, "2026-11-22 14:00:00 UTC")),
        ({"since": "2h"}, ToTime(NOW_MS - 7_200_000, "2026-11-22 12:00:00 UTC, 2h ago")),
        ({"earliest": True}, ToEarliest()),
        ({"latest": True}, ToLatest()),
        ({"offset": 0}, ToOffset(0)),
        ({"shift": -5}, ShiftBy(-5)),
        ({"other_group": "g"}, ToGroup("g")),
    ],
)
def test_goals(options: dict[str, Any], goal: Target) -> None:
    found = target_of(now=NOW, **options)

    if isinstance(goal, ToTime):
        assert isinstance(found, ToTime)
        assert found.timestamp_ms == goal.timestamp_ms
    else:
        assert found == goal
    assert describe(found)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"earliest": True, "latest": True},
        {"offset": 0, "since": "1h"},
        {"to": "2026-11-22T15:00"},
        {"since": "soon"},
    ],
)
def test_wrong_goals(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        target_of(now=NOW, **options)


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
    moves = plan_moves(ToTargets({0: 5}, ""), [PartitionPosition(0, 20, 0, 100), PartitionPosition(1, 20, 0, 100)])

    found = parse_plan(mark + json_bytes(plan_of(*moves)), name="plan.json")

    assert found == ("normalizer", "raw", ToTargets({0: 5}, "plan.json"))


def test_plan_and_result_for_scripts() -> None:
    moves = plan_moves(ToOffset(10), [PartitionPosition(0, 30, 0, 99)])
    dated_moves = dated(ToOffset(10), moves, {0: NOW_MS})
    plan = plan_of(*dated_moves, forecast=Forecast(20, 15, 2), rate=Rate(10.0, "measured by rewind 3"))
    move = {
        "partition": 0,
        "committed": 30,
        "target": 10,
        "log_start": 0,
        "log_end": 99,
        "records": 20,
        "skipped": 0,
        "target_time": "2026-11-22T14:00:00+00:00",
        "expired": False,
    }

    assert orjson.loads(json_bytes(plan)) == {
        "group": "normalizer",
        "topic": "raw",
        "goal": "to the first record kept",
        "records": 20,
        "skipped": 0,
        "partitions": [move],
        "forecast": {"records": 20, "events": 15, "dead_letters": 2, "silent": 3},
        "estimated_seconds": 2.0,
        "rate_records_per_second": 10.0,
        "rate_source": "measured by rewind 3",
    }
    result = orjson.loads(json_bytes(Rewound(7, dated_moves)))
    assert result == {"rewind_id": 7, "records": 20, "partitions": [move]}


def test_a_plan_that_an_earlier_version_wrote_is_read() -> None:
    written = b"""{"group": "normalizer", "topic": "raw", "goal": "to offset 5", "records": 15, "skipped": 0,
     "partitions": [
        {"partition": 0, "committed": 20, "target": 5, "log_start": 0, "log_end": 100, "records": 15, "skipped": 0,
         "target_time": "2026-11-22T14:00:00.000+00:00", "expired": false},
        {"partition": 1, "committed": 20, "target": null, "log_start": 0, "log_end": 100, "records": 0, "skipped": 0,
         "target_time": null, "expired": false}
    ], "forecast": null, "estimated_seconds": null, "rate_records_per_second": null, "rate_source": null}"""

    assert parse_plan(written, name="plan.json") == ("normalizer", "raw", ToTargets({0: 5}, "plan.json"))


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
        parse_plan(text, name="x.json")


def test_progress_counts_each_partition_up_to_its_old_offset() -> None:
    moves = plan_moves(ToOffset(10), [PartitionPosition(n, end, 0, 99) for n, end in enumerate((30, 20, 10))])

    half = passed(moves, {0: 25, 1: 50, 2: 99}, 5.0)
    assert (half.records, half.of, half.done, half.rate) == (25, 30, False, 5.0)
    assert passed(moves, {0: 30, 1: 20}, 6.0).done
    assert passed(moves, {}, 0.0).rate == 0.0
