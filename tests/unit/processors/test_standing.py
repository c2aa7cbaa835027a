"""When a partition's problem is over, and how long records wait that cannot be read."""

from processors.standing import PartitionProblem, ProblemKind, Standing

FAILED = PartitionProblem("unexpected KeyError at x.py:1", ProblemKind.UNEXPECTED)


def test_problem_stays_while_records_wait_that_were_not_read() -> None:
    standing = Standing(position=3, end=5, problem=FAILED)

    standing.rest(4)

    assert (standing.position, standing.problem) == (4, FAILED)


def test_problem_is_over_at_the_end_of_the_log_and_where_the_end_is_not_known() -> None:
    for end in (5, None):
        standing = Standing(position=3, end=end, problem=FAILED)

        standing.rest(5)

        assert standing.problem is None


def test_unread_records_are_timed_from_the_first_look_that_finds_them() -> None:
    standing = Standing(position=3, end=5)

    assert [standing.unread_for(now) for now in (100.0, 104.0, 111.0)] == [0.0, 4.0, 11.0]


def test_whatever_moves_begins_the_time_anew() -> None:
    standing = Standing(position=3, end=9)
    standing.unread_for(100.0)
    standing.reach(4)
    assert standing.unread_for(120.0) == 0.0
    standing.pending.append(1)
    assert standing.unread_for(140.0) == 0.0
    standing.pending.clear()
    assert standing.unread_for(160.0) == 0.0

    assert standing.unread_for(161.0) == 1.0


def test_nothing_is_unread_at_the_end_before_a_takeover_or_while_a_problem_is_known() -> None:
    for standing in (Standing(position=5, end=5), Standing(end=5), Standing(position=3, end=5, problem=FAILED)):
        assert [standing.unread_for(now) for now in (0.0, 60.0)] == [0.0, 0.0]
