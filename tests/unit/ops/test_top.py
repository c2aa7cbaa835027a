"""Rates between two looks, for `top`, and how they are shown."""

import io
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from rich.console import Console

from ops.kit.groups import GroupMember
from ops.lag.model import GroupLag, PartitionLag
from ops.lag.show import total_line
from ops.top.pace import Pace, cells, in_words, paced_json, paces, total_pace
from ops.top.read import process
from ops.top.render import picture
from ops.top.snapshot import Look, Pause, Process, Written, as_json, rates


def lag(*partitions: tuple[int | None, int]) -> GroupLag:
    """Committed offset and log end of each partition."""
    found = tuple(
        PartitionLag(number, committed, end, end - (committed or 0), None, 0)
        for number, (committed, end) in enumerate(partitions)
    )
    return GroupLag("g", "raw", "Stable", found)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ((0, 100), (50, 100), Pace(25.0, 2.0)),
        ((0, 100), (50, 150), Pace(25.0, None)),  # as much comes in as goes out
        ((0, 100), (50, 130), Pace(25.0, 8.0)),
        ((100, 100), (100, 100), Pace(0.0, 0.0)),
        ((90, 100), (10, 100), Pace(0.0, None)),  # a rewind
        ((None, 100), (50, 100), None),
    ],
)
def test_pace_of_a_partition_over_two_seconds(
    before: tuple[int | None, int], after: tuple[int | None, int], wanted: Pace | None
) -> None:
    assert paces(lag(before), lag(after), 2.0) == [wanted]


def test_pace_of_the_group_is_the_sum_and_its_own_time_to_zero() -> None:
    before, after = lag((0, 100), (0, 50)), lag((50, 100), (50, 50))

    assert total_pace(before, after, 1.0) == Pace(100.0, 0.5)
    assert total_pace(lag((None, 5)), lag((None, 5)), 1.0) is None
    assert total_pace(before, before, 0.0) is None


def test_a_look_as_json_has_rates_of_partitions_and_group() -> None:
    after = lag((50, 100))

    line = paced_json(after, [Pace(25.04, None)], Pace(25.04, 2.0), at="2026-01-02T15:00:00.000Z")

    assert (line["processed_per_second"], line["eta_seconds"]) == (25.0, 2.0)
    assert line["partitions"] == [
        {
            "partition": 0,
            "committed": 50,
            "log_end": 100,
            "lag_records": 50,
            "lag_seconds": None,
            "expired_records": 0,
            "standstill": None,
            "processed_per_second": 25.0,
            "eta_seconds": None,
        }
    ]


def test_pace_reads_well() -> None:
    assert cells(None) == ("?", "?")
    assert cells(Pace(1234.4, 90.0)) == ("1,234", "1 min 30 s")
    assert "not shrinking" in total_line(lag((0, 5)), in_words(Pace(1.0, None)))
    assert in_words(None) == ""


def look(at: float, group: GroupLag, written: Written | None = None) -> Look:
    return Look(at, group, [Process("ringover-processor-a-1", "10.0.0.1", (0, 1))], None, written)


def test_rates_are_per_second_and_duplicates_what_is_left() -> None:
    written = Written({"call": 60, "recording": 20}, dead_of_processors=10, dead_of_ingress=4)

    found = rates(look(10.0, lag((0, 50), (0, 50))), look(12.0, lag((50, 150), (50, 150)), written))

    assert found is not None
    assert (found.stored, found.processed, found.duplicates) == (100.0, 50.0, 5.0)
    assert found.events == {"call": 30.0, "recording": 10.0}
    assert (found.dead_of_processors, found.dead_of_ingress) == (5.0, 2.0)


def test_there_are_no_rates_without_two_looks_and_none_below_zero() -> None:
    written = Written({"call": 60}, 0, 0)

    assert rates(look(1.0, lag((0, 5))), look(3.0, lag((5, 5)))) is None
    found = rates(look(1.0, lag((50, 50))), look(2.0, lag((10, 50)), written))  # a rewind
    assert found is not None
    assert (found.processed, found.duplicates) == (0.0, 0.0)


def test_picture_and_json_tell_the_pause_and_an_empty_group() -> None:
    before = look(1.0, lag((0, 50)))
    paused = replace(look(2.0, lag((0, 50)), Written({"call": 0}, 0, 0)), pause=Pause("rewind by ann", 14.96))
    empty = replace(paused, processes=[])
    console = Console(width=200, record=True, file=io.StringIO())

    console.print(picture(None, before, None))
    console.print(picture(before, empty, rates(before, empty)))

    shown = console.export_text()
    for words in ("rates come with the next look", "PAUSED: rewind by ann, 15 s left", "none in the group", "10.0.0.1"):
        assert words in shown
    assert as_json(paused, None, at="now")["pause"] == {"reason": "rewind by ann", "seconds_left": 15.0}


def test_partitions_of_a_member_are_those_of_the_raw_topic() -> None:
    assigned = (TopicPartition("raw", 3), TopicPartition("raw", 1), TopicPartition("other", 9))

    assert process(GroupMember("p-1", "p", "/10.0.0.1", assigned), "raw") == Process("p", "10.0.0.1", (1, 3))
    assert process(GroupMember("p-1", "p", "/10.0.0.1", ()), "raw") == Process("p", "10.0.0.1", ())
