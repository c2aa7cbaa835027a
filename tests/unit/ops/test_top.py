"""Rates between two looks, for `top`, and how they are shown."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from aiokafka import TopicPartition
from rich.console import Console

from ops.kit.groups import GroupMember
from ops.kit.output import json_bytes
from ops.kit.pause import Holder
from ops.lag.model import GroupLag, PartitionLag
from ops.top.read import process
from ops.top.show import pace, render
from ops.top.snapshot import NewOutputs, PacedLag, PacedPartition, Process, Snapshot, paced, rates

AT = datetime(2026, 1, 2, 15, 0, tzinfo=UTC)
Pace = tuple[float | None, float | None]  # per second, and seconds until nothing lags


def lag(*partitions: tuple[int | None, int]) -> GroupLag:
    """Committed offset and log end of each partition."""
    found = tuple(
        PartitionLag(number, committed, end, end - (committed or 0), None, 0)
        for number, (committed, end) in enumerate(partitions)
    )
    return GroupLag("g", "raw", "Stable", found)


def of(found: PacedLag | PacedPartition) -> Pace:
    return found.processed_per_second, found.eta_seconds


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ((0, 100), (50, 100), (25.0, 2.0)),
        ((0, 100), (50, 150), (25.0, None)),  # as much comes in as goes out
        ((0, 100), (50, 130), (25.0, 8.0)),
        ((100, 100), (100, 100), (0.0, 0.0)),
        ((90, 100), (10, 100), (0.0, None)),  # a rewind
        ((None, 100), (50, 100), (None, None)),
    ],
)
def test_pace_of_a_partition_over_two_seconds(
    before: tuple[int | None, int], after: tuple[int | None, int], wanted: Pace
) -> None:
    assert [of(found) for found in paced(lag(before), lag(after), 2.0, at=AT).partitions] == [wanted]


def test_pace_of_the_group_is_the_sum_and_its_own_time_to_zero() -> None:
    before, after = lag((0, 100), (0, 50)), lag((50, 100), (50, 50))

    assert of(paced(before, after, 1.0, at=AT)) == (100.0, 0.5)
    assert of(paced(lag((None, 5)), lag((None, 5)), 1.0, at=AT)) == (None, None)
    assert of(paced(before, before, 0.0, at=AT)) == (None, None)
    assert of(paced(None, before, 0.0, at=AT)) == (None, None)


def test_a_look_as_json_has_rates_of_partitions_and_group() -> None:
    line = orjson.loads(json_bytes(paced(lag((0, 100)), lag((50, 100)), 2.0, at=AT)))

    partitions = line.pop("partitions")
    assert line == {
        "at": "2026-01-02T15:00:00+00:00",
        "group": "g",
        "topic": "raw",
        "state": "Stable",
        "lag_records": 50,
        "lag_seconds": None,
        "worst_partition": 0,
        "processed_per_second": 25.0,
        "eta_seconds": 2.0,
    }
    assert partitions == [
        {
            "partition": 0,
            "committed": 50,
            "log_end": 100,
            "lag_records": 50,
            "lag_seconds": None,
            "expired_records": 0,
            "standstill": None,
            "processed_per_second": 25.0,
            "eta_seconds": 2.0,
        }
    ]


def test_pace_reads_well() -> None:
    unknown, growing = paced(None, lag((0, 5)), 0.0, at=AT), paced(lag((0, 5)), lag((1, 7)), 1.0, at=AT)
    (partition,) = unknown.partitions

    assert pace(partition) == ("?", "?")
    known = replace(partition, processed_per_second=1234.4, eta_seconds=90.0)
    assert pace(known) == ("1,234", "1 min 30 s")
    assert "total: 6 records, ?, 1 records/s, caught up in not shrinking, worst" in shown(snapshot(growing))
    assert "total: 5 records, ?, worst" in shown(snapshot(unknown))


def snapshot(found: PacedLag) -> Snapshot:
    return Snapshot(AT, None, found, [Process("ringover-processor-a-1", "10.0.0.1", (0, 1))], None)


def shown(*found: Snapshot) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for one in found:
        console.print(render(one))
    return console.export_text()


def test_rates_are_per_second_and_duplicates_what_is_left() -> None:
    new = NewOutputs({"call": 60, "recording": 20}, dead_of_processors=10, dead_of_ingress=4)

    found = rates(lag((0, 50), (0, 50)), lag((50, 150), (50, 150)), new, 2.0)

    assert found is not None
    assert (found.webhooks_stored, found.records_processed, found.duplicates_derived) == (100.0, 50.0, 5.0)
    assert found.events == {"call": 30.0, "recording": 10.0}
    assert (found.dead_letters_of_processors, found.dead_letters_of_ingress) == (5.0, 2.0)


def test_there_are_no_rates_without_two_looks_and_none_below_zero() -> None:
    new = NewOutputs({"call": 60}, 0, 0)

    assert rates(lag((0, 5)), lag((5, 5)), None, 2.0) is None
    assert rates(None, lag((5, 5)), new, 2.0) is None
    found = rates(lag((50, 50)), lag((10, 50)), new, 1.0)  # a rewind
    assert found is not None
    assert (found.records_processed, found.duplicates_derived) == (0.0, 0.0)


def test_picture_and_json_tell_the_pause_and_an_empty_group() -> None:
    first = snapshot(paced(None, lag((0, 50)), 0.0, at=AT))
    found = rates(lag((0, 50)), lag((0, 50)), NewOutputs({"call": 0}, 0, 0), 1.0)
    paused = replace(first, rates=found, pause=Holder("rewind by ann", 14.96))

    text = shown(first, replace(paused, processors=[]))
    for words in ("rates come with the next look", "PAUSED: rewind by ann, 15 s left", "none in the group", "10.0.0.1"):
        assert words in text
    line = orjson.loads(json_bytes(paused))
    assert line["pause"] == {"reason": "rewind by ann", "seconds_left": 14.96}
    assert line["processors"] == [{"client_id": "ringover-processor-a-1", "host": "10.0.0.1", "partitions": [0, 1]}]
    assert line["rates"] == {
        "webhooks_stored": 0.0,
        "records_processed": 0.0,
        "events": {"call": 0.0},
        "duplicates_derived": 0.0,
        "dead_letters_of_processors": 0.0,
        "dead_letters_of_ingress": 0.0,
    }
    assert line.keys() == {"at", "rates", "lag", "processors", "pause"}


def test_partitions_of_a_member_are_those_of_the_raw_topic() -> None:
    assigned = (TopicPartition("raw", 3), TopicPartition("raw", 1), TopicPartition("other", 9))

    assert process(GroupMember("p-1", "p", "/10.0.0.1", assigned), "raw") == Process("p", "10.0.0.1", [1, 3])
    assert process(GroupMember("p-1", "p", "/10.0.0.1", ()), "raw") == Process("p", "10.0.0.1", [])
