"""Take a partition over: the order of steps that keeps a predecessor, dead or merely slow, from doing harm.

Start the producer (fences every earlier owner and ends its open transaction), only then read the committed offset (an
open transaction would still hide it) and prove that it is not an outdated one, compare it with what PostgreSQL knows,
heal, seek.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from processors.model import Bounds
from processors.ports import Output, RawLog, State
from runtime.errors import FencedError, LogUnavailableError, RefusedError


@dataclass(frozen=True, slots=True)
class Initialize:
    """Nothing was ever committed or claimed: begin at the log's start, and commit that first."""

    offset: int


@dataclass(frozen=True, slots=True)
class Heal:
    """PostgreSQL knows less than was committed: claim [start, end) again, without output, then go on at `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on at the committed offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Going on would lose or repeat events."""

    reason: str


Plan: TypeAlias = Initialize | Heal | Resume | Refuse


def plan_takeover(committed: int | None, progress: int | None, bounds: Bounds) -> Plan:
    """Where to begin, from the group's committed offset, PostgreSQL's progress and the log's bounds. Pure."""
    known = max(offset for offset in (committed, progress, bounds.start) if offset is not None)
    if known > bounds.end:
        return Refuse(
            f"the raw log ends at {bounds.end}, but offset {known} was processed: the topic was made again or lost "
            "records; give the new log its own PROCESSOR_LOG_ID and reset the group's offsets"
        )
    if committed is None:
        if progress is None:
            return Initialize(bounds.start)
        return Refuse(
            f"the group has no committed offset, but records up to {progress} were processed: the offsets expired or "
            "the group is new; set them with `ringover-ops rewind`"
        )
    if committed < bounds.start:
        return Refuse(
            f"records {committed} to {bounds.start - 1} were removed by retention before they were processed; to go on "
            f"without them: `ringover-ops rewind --to-offset {bounds.start} --skip-unprocessed` for this partition"
        )
    if progress is None or progress < committed:
        return Heal(max(progress or 0, bounds.start), committed)
    return Resume(committed)


async def take_over(log: RawLog, state: State, output: Output, *, heal: Callable[[int, int], Awaitable[None]]) -> int:
    """Become the only owner of a partition, and return the offset to begin at; the log is positioned there.

    `heal(start, end)` claims the records in [start, end) without output.

    Raises:
        TransientError: Kafka or PostgreSQL is away; take over again with a new output.
        FencedError: another process owns the partition now.
        RefusedError: going on would break the guarantee.
    """
    await output.start()
    committed = await _committed(log, output)
    progress, bounds = await state.progress(), await log.bounds()
    plan = plan_takeover(committed, progress, bounds)
    match plan:
        case Refuse(reason=reason):
            if await log.committed() != committed:  # frozen meanwhile: what was read is of different times
                raise FencedError("another process took the partition over")
            raise RefusedError(reason)
        case Initialize(offset=offset):
            # Commit before the first claim: a crash between the two must not look like expired offsets.
            await output.commit({}, offset)
            await output.touch(offset)  # a commit shows once a later transaction has begun
            if await log.committed() != offset:
                raise LogUnavailableError("the first committed offset does not show")
            await state.open(offset)
        case Heal(start=start, end=offset):
            # Not at `start`: PostgreSQL may have lost more since it was asked, and nobody would claim what is between.
            await state.open(bounds.start)
            await heal(start, offset)
        case Resume(offset=offset):
            pass
    log.seek(offset)
    return offset


async def _committed(log: RawLog, output: Output) -> int | None:
    """The group's committed offset, proven to be the last one.

    A broker that has just become the group's coordinator answers from what it knows to be replicated, which may be less
    than was committed; going on there would repeat events. When it has written an offset that one is replicated, and
    with it everything before.

    Raises:
        LogUnavailableError: it showed less before; take over again.
    """
    shown = await log.committed()
    await output.touch(shown or 0)
    if await log.committed() != shown:
        raise LogUnavailableError("the broker showed an outdated offset, as it may after a crash")
    return shown
