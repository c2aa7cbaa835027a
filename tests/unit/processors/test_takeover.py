"""The order of steps in a takeover, and where each situation leads."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from processors.model import Bounds, Claim, Conflict, Owners, RawRecord, Written
from processors.takeover import Heal, Initialize, Plan, Refuse, Resume, plan_takeover, take_over
from runtime.errors import FencedError, PublishError, RefusedError, StateUnavailableError

REFUSE = "refuse"


@pytest.mark.parametrize(
    ("committed", "progress", "bounds", "plan"),
    [
        # Nothing known: from the log's start, empty or not.
        (None, None, (0, 0), Initialize(0)),
        (None, None, (0, 10), Initialize(0)),
        (None, None, (7, 10), Initialize(7)),
        (None, None, (10, 10), Initialize(10)),
        # Claims without a committed offset: the offsets expired, or the group is another.
        (None, 0, (0, 10), REFUSE),
        (None, 5, (0, 10), REFUSE),
        (None, 10, (0, 10), REFUSE),
        # As it should be: progress at or past the committed offset.
        (0, 0, (0, 0), Resume(0)),
        (0, 0, (0, 10), Resume(0)),
        (5, 5, (0, 10), Resume(5)),
        (5, 8, (0, 10), Resume(5)),  # a crash between claim and commit, or operators went back
        (0, 10, (0, 10), Resume(0)),
        (10, 10, (0, 10), Resume(10)),
        (5, 5, (5, 10), Resume(5)),
        (5, 6, (5, 5 + 1), Resume(5)),
        (10, 10, (10, 10), Resume(10)),  # retention took all, and all was processed
        # The database lost commits.
        (5, 4, (0, 10), Heal(4, 5)),
        (5, 0, (0, 10), Heal(0, 5)),
        (5, None, (0, 10), Heal(0, 5)),
        (5, None, (3, 10), Heal(3, 5)),  # what retention took cannot be claimed again
        (5, 2, (3, 10), Heal(3, 5)),
        (5, 4, (3, 10), Heal(4, 5)),
        (5, None, (5, 10), Heal(5, 5)),
        (5, 4, (5, 10), Heal(5, 5)),
        (10, 9, (0, 10), Heal(9, 10)),
        # Records that nobody processed were removed.
        (4, 4, (5, 10), REFUSE),
        (4, None, (5, 10), REFUSE),
        (0, 8, (1, 10), REFUSE),
        # More was processed than the log has.
        (11, 11, (0, 10), REFUSE),
        (5, 11, (0, 10), REFUSE),
        (11, 5, (0, 10), REFUSE),
        (None, 11, (0, 10), REFUSE),
        (1, 1, (0, 0), REFUSE),
    ],
)
def test_plan(committed: int | None, progress: int | None, bounds: tuple[int, int], plan: Plan | str) -> None:
    found = plan_takeover(committed, progress, Bounds(*bounds))

    if plan == REFUSE:
        assert isinstance(found, Refuse)
    else:
        assert found == plan


@pytest.mark.parametrize(
    ("committed", "progress", "bounds", "words"),
    [
        (11, 11, (0, 10), ["ends at 10", "offset 11", "PROCESSOR_LOG_ID"]),
        (None, 5, (0, 10), ["no committed offset", "up to 5", "ringover-ops rewind"]),
        (4, 4, (6, 10), ["4 to 5", "removed by retention", "rewind --to-offset 6 --skip-unprocessed"]),
    ],
)
def test_refusal_says_what_was_found_and_what_to_do(
    committed: int | None, progress: int | None, bounds: tuple[int, int], words: list[str]
) -> None:
    found = plan_takeover(committed, progress, Bounds(*bounds))

    assert isinstance(found, Refuse)
    assert all(word in found.reason for word in words), found.reason


class World:
    """All three ports at once; notes each call."""

    def __init__(self, committed: int | None, progress: int | None, bounds: Bounds) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._committed = committed
        self._progress = progress
        self._bounds = bounds
        self.failing: dict[str, Exception] = {}
        self.shown_offset = committed

    def _note(self, *call: object) -> None:
        self.calls.append(call)
        if call[0] in self.failing:
            raise self.failing[str(call[0])]

    async def start(self) -> None:
        self._note("start")

    async def committed(self) -> int | None:
        self._note("committed")
        return self._committed

    async def shown(self) -> int | None:
        self._note("shown")
        return self.shown_offset

    async def progress(self) -> int | None:
        self._note("progress")
        return self._progress

    async def bounds(self) -> Bounds:
        self._note("bounds")
        return self._bounds

    async def commit(self, records: Mapping[str, Sequence[Written]], next_offset: int) -> None:
        self._note("commit", dict(records), next_offset)
        self._committed = next_offset

    async def open(self, next_offset: int) -> None:
        self._note("open", next_offset)

    async def heal(self, start: int, end: int) -> None:
        self._note("heal", start, end)

    def seek(self, offset: int) -> None:
        self._note("seek", offset)

    async def position(self) -> int:
        raise AssertionError("not in a takeover")

    async def fetch(self, max_records: int, *, wait: bool = True) -> Sequence[RawRecord]:
        raise AssertionError(f"not in a takeover: {max_records} {wait}")

    async def claim(
        self, first: int, next_offset: int, claims: Sequence[Claim], *, counted_until: int | None = None
    ) -> Owners:
        raise AssertionError(f"not in a takeover: {first} {next_offset} {claims} {counted_until}")

    async def reclaim(
        self,
        first: int,
        next_offset: int,
        claims: Sequence[Claim],
        conflicts_of: Callable[[Owners], Sequence[Conflict]],
        *,
        counted_until: int | None = None,
    ) -> None:
        raise AssertionError(f"not in a takeover: {first} {next_offset} {claims} {conflicts_of} {counted_until}")

    async def note_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        raise AssertionError(f"not in a takeover: {conflicts}")

    async def stop(self) -> None:
        raise AssertionError("not in a takeover")

    async def take_over(self) -> int:
        return await take_over(self, self, self, heal=self.heal)


async def test_fencing_comes_before_anything_is_read() -> None:
    world = World(5, 5, Bounds(0, 10))

    assert await world.take_over() == 5

    assert world.calls[0] == ("start",)
    assert world.calls[1] == ("committed",)
    assert set(world.calls[2:4]) == {("progress",), ("bounds",)}
    assert world.calls[4:] == [("shown",), ("seek", 5)]


@pytest.mark.parametrize("shown", [None, 2, 9])
async def test_what_kafkas_tools_show_is_corrected_and_never_begun_at(shown: int | None) -> None:
    world = World(5, 5, Bounds(0, 10))
    world.shown_offset = shown

    assert await world.take_over() == 5

    assert world.calls[4:] == [("shown",), ("commit", {}, 5), ("seek", 5)]


async def test_first_takeover_commits_before_it_opens_the_state() -> None:
    world = World(None, None, Bounds(7, 10))

    assert await world.take_over() == 7

    assert world.calls[4:] == [("commit", {}, 7), ("open", 7), ("seek", 7)]


async def test_failed_first_commit_leaves_the_state_untouched() -> None:
    world = World(None, None, Bounds(0, 10))
    world.failing["commit"] = PublishError("away")

    with pytest.raises(PublishError):
        await world.take_over()

    assert "open" not in [call[0] for call in world.calls]


@pytest.mark.parametrize(("progress", "start"), [(None, 3), (2, 3), (3, 3), (6, 6)])
async def test_healing_opens_at_the_logs_start_only_and_ends_at_the_committed_offset(
    progress: int | None, start: int
) -> None:
    world = World(8, progress, Bounds(3, 10))

    assert await world.take_over() == 8

    assert world.calls[4:] == [("open", 3), ("heal", start, 8), ("shown",), ("seek", 8)]


async def test_failed_healing_does_not_begin_to_work() -> None:
    world = World(8, 2, Bounds(0, 10))
    world.failing["heal"] = StateUnavailableError("away")

    with pytest.raises(StateUnavailableError):
        await world.take_over()

    assert "seek" not in [call[0] for call in world.calls]


async def test_refusal_raises_its_reason_and_changes_nothing() -> None:
    world = World(None, 5, Bounds(0, 10))

    with pytest.raises(RefusedError, match="no committed offset"):
        await world.take_over()

    read = ["committed", "progress", "bounds", "committed"]
    assert [call[0] for call in world.calls] == ["start", *read]


async def test_takeover_that_froze_while_another_began_is_fenced_and_not_refused() -> None:
    class Later(World):
        async def progress(self) -> int | None:
            self._committed, self._progress = 3, 5  # the other one has been at work
            return await super().progress()

    world = Later(None, None, Bounds(0, 10))

    with pytest.raises(FencedError):
        await world.take_over()
