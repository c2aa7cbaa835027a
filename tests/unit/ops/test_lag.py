"""The arithmetic of lag."""

from datetime import UTC, datetime

import orjson
import pytest

from ops.kit.output import json_bytes
from ops.kit.standstill import with_standstills
from ops.kit.times import duration
from ops.lag.model import (
    GroupLag,
    PartitionLag,
    PartitionOffsets,
    Standstill,
    partition_lag,
)
from ops.lag.show import bar, lines

NOW_MS = 1_767_366_000_000


def offsets(committed: int | None, *, start: int = 0, end: int = 10) -> PartitionOffsets:
    return PartitionOffsets(0, start, end, committed)


@pytest.mark.parametrize(
    ("given", "offset", "records", "expired"),
    [
        (offsets(4), 4, 6, 0),
        (offsets(10), 10, 0, 0),
        (offsets(None), 0, 10, 0),
        (offsets(None, start=3), 3, 7, 0),
        (offsets(0), 0, 10, 0),
        (offsets(2, start=5), 5, 5, 3),
        (offsets(12), 10, 0, 0),  # the topic was made again, or the end was read before the commit
        (offsets(None, end=0), 0, 0, 0),
    ],
)
def test_lag_is_what_is_left_of_the_log(given: PartitionOffsets, offset: int, records: int, expired: int) -> None:
    lag = partition_lag(given, None, now_ms=NOW_MS)

    assert (given.first_unprocessed, lag.lag_records, lag.expired_records) == (offset, records, expired)


def test_seconds_are_the_age_of_the_oldest_unprocessed_record() -> None:
    assert partition_lag(offsets(4), NOW_MS - 12_500, now_ms=NOW_MS).lag_seconds == 12.5


def test_no_lag_is_zero_seconds_and_an_unread_record_is_unknown() -> None:
    assert partition_lag(offsets(10), None, now_ms=NOW_MS).lag_seconds == 0.0
    assert partition_lag(offsets(4), None, now_ms=NOW_MS).lag_seconds is None


def test_a_broker_clock_ahead_of_ours_is_zero_seconds() -> None:
    assert partition_lag(offsets(4), NOW_MS + 900, now_ms=NOW_MS).lag_seconds == 0.0


def group(*lags: tuple[int, float | None]) -> GroupLag:
    partitions = tuple(
        PartitionLag(number, committed=0, log_end=records, lag_records=records, lag_seconds=seconds, expired_records=0)
        for number, (records, seconds) in enumerate(lags)
    )
    return GroupLag("g", "raw", "Stable", partitions)


def test_the_latest_partition_is_the_worst_even_with_fewer_records() -> None:
    lag = group((0, 0.0), (900, 2.0), (3, 60.0))

    assert (lag.lag_records, lag.lag_seconds, lag.worst_partition) == (903, 60.0, 2)


def test_without_lag_there_is_no_worst() -> None:
    assert group((0, 0.0), (0, 0.0)).worst_partition is None
    assert group((0, 0.0)).lag_seconds == 0.0


def test_a_group_whose_lag_cannot_be_dated_has_an_unknown_lag_in_seconds() -> None:
    assert group((0, 0.0), (5, None)).lag_seconds is None
    assert group((3, 7.0), (5, None)).lag_seconds == 7.0


def test_json_names_records_and_seconds_per_partition() -> None:
    shown = orjson.loads(json_bytes(group((5, 1.5))))

    partitions = shown.pop("partitions")
    assert shown == {
        "group": "g",
        "topic": "raw",
        "state": "Stable",
        "lag_records": 5,
        "lag_seconds": 1.5,
        "worst_partition": 0,
    }
    assert partitions == [
        {
            "partition": 0,
            "committed": 0,
            "log_end": 5,
            "lag_records": 5,
            "lag_seconds": 1.5,
            "expired_records": 0,
            "standstill": None,
        }
    ]


def test_partition_that_stands_still_is_named_in_words_and_json() -> None:
    since = datetime(2026, 12, 1, 10, 5, 6, tzinfo=UTC)
    lag = with_standstills(group((0, 0.0), (5, 1.5)), {1: Standstill(since, "it\u202e fails\n", "processor-7")})

    assert lines(lag)[1:] == [
        "partition 1 stands still since 2026-12-01 10:05:06 UTC: it\\u202e fails\\n (processor-7)"
    ]
    assert [item["standstill"] for item in orjson.loads(json_bytes(lag))["partitions"]] == [
        None,
        {"since": "2026-12-01T10:05:06+00:00", "problem": "it\u202e fails\n", "processor": "processor-7"},
    ]


def test_any_lag_shows_at_least_one_cell() -> None:
    assert [len(bar(value, 1000, cells=10)) for value in (0, 1, 500, 1000)] == [0, 1, 5, 10]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.0, "0 s"),
        (0.85, "850 ms"),
        (12.34, "12.3 s"),
        (245.0, "4 min 05 s"),
        (12_000.0, "3 h 20 min"),
        (187_200.0, "2 d 04 h"),
    ],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
