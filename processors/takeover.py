"""Take a partition over: the order of steps that keeps a predecessor, dead or merely slow, from doing harm.

Start the producer (fences every earlier owner and ends its open transaction), only then read the committed offset (an
open transaction would still hide it), compare it with what PostgreSQL knows, heal, seek.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from processors.model import Bounds
from processors.ports import Output, RawLog, State
from runtime.errors import FencedError, LogUnavailableError, RefusedError

VISIBLE_LOOKS = 100


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


async def take_over(
    log: RawLog,
    state: State,
    output: Output,
    *,
    heal: Callable[[int, int], Awaitable[None]],
    pause: Callable[[], Awaitable[None]],
) -> int:
    """Become the only owner of a partition, and return the offset to begin at; the log is positioned there.

    `heal(start, end)` claims the records in [start, end) without output; `pause()` is the time between two looks.

    Raises:
        TransientError: Kafka or PostgreSQL is away; take over again with a new output.
        FencedError: another process owns the partition now.
        RefusedError: going on would break the guarantee.
    """
    await output.start()
    committed, progress, bounds = await log.committed(), await state.progress(), await log.bounds()
    plan = plan_takeover(committed, progress, bounds)
    match plan:
        case Refuse(reason=reason):
            if await log.committed() != committed:  # frozen meanwhile: what was read is of different times
                raise FencedError("another process took the partition over")
            raise RefusedError(reason)
        case Initialize(offset=offset):
            # Commit before the first claim: a crash between the two must not look like expired offsets.
            await output.commit({}, offset)
            await _visible(log, offset, pause)
            await state.open(offset)
        case Heal(start=start, end=offset):
            # Not at `start`: PostgreSQL may have lost more since it was asked, and nobody would claim what is between.
            await state.open(bounds.start)
            await heal(start, offset)
        case Resume(offset=offset):
            pass
    log.seek(offset)
    return offset


async def _visible(log: RawLog, offset: int, pause: Callable[[], Awaitable[None]]) -> None:
    """Wait until the first commit shows, which it does some milliseconds after its transaction has ended.

    Progress without a committed offset means that offsets have expired: whoever froze in a takeover and wakes up
    between the two would refuse.

    Raises:
        LogUnavailableError: it does not show; take over again.
    """
    for _ in range(VISIBLE_LOOKS):
        if await log.committed() == offset:
            return
        await pause()
    raise LogUnavailableError("the first committed offset does not show")
