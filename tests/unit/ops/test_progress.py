"""How far long work is: lines for a log, a bar for a terminal, both with rate and time left."""

import io
from collections.abc import Mapping

import pytest

from ops.kit import progress
from ops.kit.output import PlainConsole
from ops.kit.progress import LINE_SECONDS, shown_progress
from ops.rewind import run
from ops.rewind.plan import PartitionPosition, plan_moves
from ops.rewind.target import ToEarliest


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "monotonic", made)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 200 columns is sent."""
    sent = io.StringIO()
    monkeypatch.setattr(
        progress, "stderr", lambda: PlainConsole(file=sent, force_terminal=True, width=200, color_system=None)
    )
    return sent


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_progress("comparing") as advance:
        advance(30, total=200)
        clock.now += LINE_SECONDS
        advance(20, total=200)
        advance(50, total=200)
        clock.now += LINE_SECONDS / 2
        advance(50, total=200)
        clock.now += LINE_SECONDS / 2
        advance(50, total=200)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "comparing: 50 of 200 records, 10/s, 15 s left",
        "comparing: 200 of 200 records, 20/s, 0 s left",
        "comparing: 200 of 200 records in 10 s, 20/s",
    ]


def test_short_work_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress("sending", 2) as advance:
        advance(1)
        clock.now += LINE_SECONDS - 0.1
        advance(1)

    assert capsys.readouterr().err == ""


def test_work_without_a_known_end_or_any_progress_has_no_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_progress("reading") as advance:
        clock.now += LINE_SECONDS
        advance(5)
    with shown_progress("removing", 1200, unit="rows") as advance:
        clock.now += LINE_SECONDS
        advance(0)

    assert capsys.readouterr().err.splitlines() == [
        "reading: 5 records, 1/s",
        "reading: 5 records in 5 s, 1/s",
        "removing: 0 of 1,200 rows, 0/s",
        "removing: 0 of 1,200 rows in 5 s, 0/s",
    ]


def test_work_that_failed_has_no_last_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with shown_progress("reading") as advance:
            clock.now += LINE_SECONDS
            advance(5)
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        work()

    assert capsys.readouterr().err == "reading: 5 records, 1/s\n"


@pytest.mark.parametrize("doing", ["looking for call [/nope] {task}", "looking for call [red]x[/red]:smile:"])
def test_a_bar_has_rate_and_time_left_and_takes_no_markup(clock: Clock, terminal: io.StringIO, doing: str) -> None:
    with shown_progress(doing, 200) as advance:
        clock.now += 2.0
        advance(50)

    assert f"{doing} ━" in terminal.getvalue()
    assert "50 of 200 records, 25/s, 6 s left" in terminal.getvalue()


async def test_the_pass_after_a_rewind_tells_how_many_records_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Mapping[int, int | None]] = [{0: 0}, {0: 20}, {0: 50}]
    told: list[tuple[int, int | None]] = []

    class Session:
        """Nobody asks it: how far the group is comes from `looks`."""

        scope = group = None
        partitions = ()

    async def committed(*_asked: object, fenced: bool) -> Mapping[int, int | None]:
        assert not fenced
        return looks.pop(0)

    def advance(count: int, /, *, total: int | None = None) -> None:
        told.append((count, total))

    monkeypatch.setattr(run, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(run, "committed", committed)
    moves = plan_moves(ToEarliest(), [PartitionPosition(0, 50, 0, 60)])

    end = await run.follow(Session(), moves, advance)  # type: ignore[arg-type]

    assert (end.records, end.done) == (50, True)
    assert told == [(0, 50), (20, 50), (30, 50)]
