"""When a partition's problem is over, and how long records wait that cannot be read."""

from processors.lag import PartitionProblem, PartitionStatus, ProblemKind

FAILED = PartitionProblem("unexpected KeyError at x.py:1", ProblemKind.UNEXPECTED)


def test_problem_stays_while_records_wait_that_were_not_read() -> None:
    status = PartitionStatus(position=3, end=5, problem=FAILED)

    status.rest(4)

    assert (status.position, status.problem) == (4, FAILED)


def test_problem_is_over_at_the_end_of_the_log_and_where_the_end_is_not_known() -> None:
    for end in (5, None):
        status = PartitionStatus(position=3, end=end, problem=FAILED)

        status.rest(5)

        assert status.problem is None


def test_unread_records_are_timed_from_the_first_look_that_finds_them() -> None:
    status = PartitionStatus(position=3, end=5)

    assert [status.unread_for(now) for now in (100.0, 104.0, 111.0)] == [0.0, 4.0, 11.0]


def test_whatever_moves_begins_the_time_anew() -> None:
    status = PartitionStatus(position=3, end=9)
    status.unread_for(100.0)
    status.reach(4)
    assert status.unread_for(120.0) == 0.0
    status.pending.append(1)
    assert status.unread_for(140.0) == 0.0
    status.pending.clear()
    assert status.unread_for(160.0) == 0.0

    assert status.unread_for(161.0) == 1.0


def test_nothing_is_unread_at_the_end_before_a_takeover_or_while_a_problem_is_known() -> None:
    for status in (
        PartitionStatus(position=5, end=5),
        PartitionStatus(end=5),
        PartitionStatus(position=3, end=5, problem=FAILED),
    ):
        assert [status.unread_for(now) for now in (0.0, 60.0)] == [0.0, 0.0]
