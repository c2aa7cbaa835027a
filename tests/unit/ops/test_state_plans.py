"""What rebuild and compact plan, and what they refuse."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from ops.kit.output import json_bytes
from ops.kit.scan import Range
from ops.state.compact import Compacted, CompactPlan, Throttle, too_short
from ops.state.read import (
    LogOffsets,
    NotedConflict,
    PartitionProgress,
    ShownClaim,
    StateStats,
    TypeStats,
    by_partition,
    by_type,
    sample_percent,
)
from ops.state.rebuild import PartitionRebuild, RebuildPlan, obstacle, plan_rebuild, shares
from ops.state.show import size

DAY_MS = 86_400_000
LOG = Range(10, 100)


@pytest.mark.parametrize(
    ("committed", "progress", "wanted"),
    [
        (80, 80, (10, 80)),
        (80, 90, (10, 90)),  # claimed, and the commit is to come or does not show yet
        (80, 40, (10, 80)),  # PostgreSQL lost commits
        (80, None, (10, 80)),  # and here everything
        (None, None, (10, 10)),  # nothing was ever emitted
        (None, 50, (10, 10)),
        (5, None, (10, 10)),  # retention overtook the group
    ],
)
def test_rebuild_reads_from_the_start_to_what_was_committed(
    committed: int | None, progress: int | None, wanted: tuple[int, int]
) -> None:
    commits = {} if committed is None else {0: committed}
    known = {} if progress is None else {0: progress}

    (plan,) = plan_rebuild({0: LOG}, commits, known)

    assert (plan.start, plan.end) == wanted
    assert plan.records == wanted[1] - wanted[0]


@pytest.mark.parametrize(
    ("committed", "progress", "said"),
    [
        (80, 90, None),
        (100, None, None),
        (None, None, None),
        (None, 0, None),
        (None, 50, "commit offsets first"),
        (101, 80, "its own PROCESSOR_LOG_ID"),
        (80, 101, "its own PROCESSOR_LOG_ID"),
    ],
)
def test_rebuild_refuses_what_would_hurt_the_guarantee(
    committed: int | None, progress: int | None, said: str | None
) -> None:
    reason = obstacle([PartitionRebuild(0, 10, 10, committed, progress)], {0: LOG})

    assert (reason is None) == (said is None)
    assert said is None or said in (reason or "")


def test_partitions_are_dealt_out_evenly_and_only_those_with_work() -> None:
    plans = [PartitionRebuild(number, 0, records, records, None) for number, records in enumerate((50, 10, 30, 20, 0))]
    plans.append(PartitionRebuild(9, 0, 0, None, None))

    hands = shares(plans, 2)

    assert sorted(plan.partition for hand in hands for plan in hand) == [0, 1, 2, 3, 4]
    assert sorted(sum(plan.records for plan in hand) for hand in hands) == [50, 60]
    assert shares(plans[-1:], 2) == []


@pytest.mark.parametrize(
    ("ttl", "retention_ms", "said"),
    [
        (timedelta(days=45), 30 * DAY_MS, None),
        (timedelta(days=30), 30 * DAY_MS, None),
        (timedelta(days=29), 30 * DAY_MS, "29 days is below the raw topic's retention of 30 days"),
        (timedelta(hours=12), DAY_MS, "12 hours"),
        (timedelta(days=9999), -1, "for ever"),
    ],
)
def test_a_ttl_below_the_retention_is_refused(ttl: timedelta, retention_ms: int, said: str | None) -> None:
    reason = too_short(ttl, retention_ms)

    assert (reason is None) == (said is None)
    assert said is None or said in (reason or "")


def test_a_throttle_spaces_work_and_lets_pauses_pass() -> None:
    throttle = Throttle(100)

    assert throttle.wait_seconds(50, now=10.0) == pytest.approx(0.5)
    assert throttle.wait_seconds(50, now=10.1) == pytest.approx(0.9)
    assert throttle.wait_seconds(100, now=99.0) == pytest.approx(1.0)
    assert Throttle(None).wait_seconds(10_000, now=1.0) == 0.0


@pytest.mark.parametrize(
    ("rows", "exact", "percent"),
    [(-1, False, None), (2_000_000, False, None), (20_000_000, False, 1.0), (20_000_000, True, None)],
)
def test_only_a_large_table_is_sampled(rows: int, exact: bool, percent: float | None) -> None:
    assert sample_percent(rows, exact=exact) == percent


def test_statistics_are_scaled_and_joined_with_conflicts() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    claims = [(1, "call.ended", 10, 3, now, now), (2, "call.started", 4, 0, now, now)]

    first, second = by_type({1: "a@1"}, claims, [(1, "call.ended", 2)], scale=100)

    assert (first.log, first.claims, first.duplicates, first.conflicts) == ("a@1", 1000, 300, 2)
    assert (second.log, second.claims, second.conflicts) == ("log 2", 400, 0)


def test_a_partition_behind_its_commit_is_seen() -> None:
    offsets = LogOffsets({0: LOG, 1: LOG, 2: LOG}, {0: 80, 1: 80})

    found = by_partition(offsets, {0: 80, 1: 70})

    assert found == [PartitionProgress(0, 80, 80), PartitionProgress(1, 70, 80), PartitionProgress(2, None, None)]
    assert [partition.behind for partition in found] == [0, 10, 0]


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (2048, "2 KiB"), (5 * 2**30, "5 GiB")])
def test_sizes_read_well(count: int, text: str) -> None:
    assert size(count) == text


NOW = datetime(2026, 1, 2, tzinfo=UTC)
AT = "2026-01-02T00:00:00+00:00"


def as_json(value: object) -> object:
    return orjson.loads(json_bytes(value))


def test_json_of_show_and_stats_has_these_fields() -> None:
    claim = ShownClaim("log", "key", 1, 7, NOW, "00ff", 3, [NotedConflict(9, NOW)])
    stats = StateStats(
        "log",
        "group",
        False,
        10,
        20,
        [TypeStats("log", "call.ended", 5, 2, 1, NOW, None)],
        [PartitionProgress(0, 3, 5)],
    )

    assert as_json([claim]) == [
        {
            "log": "log",
            "claim_key": "key",
            "partition": 1,
            "owner_offset": 7,
            "owner_time": AT,
            "content_hash": "00ff",
            "records": 3,
            "duplicates": 2,
            "conflicts": [{"offset": 9, "time": AT}],
        }
    ]
    assert as_json(stats) == {
        "log": "log",
        "group": "group",
        "estimated": False,
        "claims": 5,
        "table_bytes": 10,
        "index_bytes": 20,
        "event_types": [
            {
                "log": "log",
                "event_type": "call.ended",
                "claims": 5,
                "duplicates": 2,
                "conflicts": 1,
                "oldest": AT,
                "newest": None,
            }
        ],
        "partitions": [{"partition": 0, "progress": 3, "committed": 5, "behind": 2}],
    }


def test_json_of_compact_and_rebuild_has_these_fields() -> None:
    compact = CompactPlan("log", NOW, 60.0, {0: 5}, claims=3, older_but_in_log=1, conflicts=2, freed_bytes=100)
    rebuild = RebuildPlan("log", True, [PartitionRebuild(0, 5, 9, 9, None)], claims_before=4, claims_kept=1)

    assert as_json(compact) == {
        "log": "log",
        "before": AT,
        "retention_seconds": 60.0,
        "log_starts": {"0": 5},
        "claims": 3,
        "older_but_in_log": 1,
        "conflicts": 2,
        "freed_bytes": 100,
    }
    assert as_json(Compacted(5)) == {"removed": 5}
    assert as_json(rebuild) == {
        "log": "log",
        "wipe": True,
        "records": 4,
        "claims_before": 4,
        "claims_kept": 1,
        "partitions": [{"partition": 0, "start": 5, "end": 9, "committed": 9, "progress_before": None}],
    }
