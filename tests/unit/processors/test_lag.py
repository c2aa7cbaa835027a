"""Lag of partitions: exact when the oldest record is known, and else growing and never more than the truth."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from processors.lag import Lag, LagWatch, PartitionStatus

NOW = 1_000_000.0


def at(position: int | None, end: int, *, age: float | None = None, now: float = NOW) -> PartitionStatus:
    """`age` in seconds of the oldest record, when it was read."""
    return PartitionStatus(position, end, given_up=None if age is None else int((now - age) * 1000))


def test_nothing_waits() -> None:
    assert LagWatch().look({3: at(10, 10)}, NOW) == {3: Lag(0, 0.0)}


def test_oldest_record_is_known() -> None:
    assert LagWatch().look({3: at(10, 14, age=7)}, NOW) == {3: Lag(4, 7.0)}


def test_clock_behind_the_brokers_makes_no_negative_age() -> None:
    assert LagWatch().look({3: at(10, 14, age=-7)}, NOW) == {3: Lag(4, 0.0)}


def test_what_cannot_be_read_becomes_older() -> None:
    watch = LagWatch()

    ages = [watch.look({3: at(10, 14 + step)}, NOW + 2 * step)[3].seconds for step in range(4)]

    assert ages == [0, 2, 4, 6]


def test_age_starts_anew_when_the_partition_gets_on() -> None:
    watch = LagWatch()
    watch.look({3: at(10, 14)}, NOW)

    assert watch.look({3: at(12, 15)}, NOW + 60)[3] == Lag(3, 0.0)
    assert watch.look({3: at(15, 15)}, NOW + 61)[3] == Lag(0, 0.0)
    assert watch.look({3: at(15, 16)}, NOW + 62)[3] == Lag(1, 0.0)


def test_known_age_is_remembered_and_an_earlier_record_is_at_least_as_old() -> None:
    watch = LagWatch()
    watch.look({3: at(10, 14, age=600)}, NOW)

    assert watch.look({3: at(10, 14)}, NOW + 5)[3].seconds == 605
    assert watch.look({3: at(2, 14)}, NOW + 6)[3].seconds == 606


def test_record_in_hand_waits_although_the_end_is_not_known_anew() -> None:
    assert LagWatch().look({3: at(10, 10, age=9)}, NOW) == {3: Lag(1, 9.0)}


def test_partition_that_was_not_taken_over_is_missing_until_something_surely_waits() -> None:
    watch = LagWatch()

    assert watch.look({3: at(None, 50)}, NOW) == {}
    assert watch.look({3: at(None, 52)}, NOW + 2) == {3: Lag(2, 0.0)}
    assert watch.look({3: at(None, 55)}, NOW + 90) == {3: Lag(5, 88.0)}
    assert watch.look({3: at(40, 55)}, NOW + 91) == {3: Lag(15, 89.0)}


def test_partition_that_went_and_came_back_begins_anew() -> None:
    watch = LagWatch()
    watch.look({3: at(None, 50)}, NOW)
    watch.look({3: at(None, 60)}, NOW)

    assert watch.look({}, NOW) == {}
    assert watch.look({3: at(None, 60)}, NOW + 100) == {}


@dataclass
class World:
    """One partition, as it is: a record a second, read or not, processed or not."""

    position: int = 0
    taken: bool = False


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "fail", "process", "take", "lose"]),
            st.integers(0, 5),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_never_more_than_the_truth_and_never_less_while_it_stands_still(
    steps: list[tuple[str, int, bool, bool]],
) -> None:
    """Record n comes at NOW + n; the log ends at the current second."""
    watch, world, second = LagWatch(), World(), 0
    before: tuple[int, float] | None = None
    for what, passed, was_read, rewound in steps:
        second += passed
        if what in {"take", "lose"}:
            world.taken = what == "take"
            if rewound:
                world.position //= 2
        elif what == "process" and world.taken:
            world.position = min(second, world.position + 3)
        waits = world.position < second
        oldest = int((NOW + world.position) * 1000) if was_read and waits and world.taken else None

        found = watch.look(
            {3: PartitionStatus(world.position if world.taken else None, second, given_up=oldest)}, NOW + second
        ).get(3)

        truth = Lag(second - world.position, float(second - world.position))
        assert found is None or (found.records <= truth.records and found.seconds <= truth.seconds)
        if world.taken:
            assert found is not None
            assert found.records == truth.records
            if oldest is not None:
                assert found == truth
            if before is not None and before[0] == world.position and waits:
                assert found.seconds >= before[1]
            before = world.position, found.seconds
        else:
            before = None
