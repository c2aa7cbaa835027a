"""Takes a partition over, in the order of steps that keeps a predecessor, dead or merely slow, from doing harm.

Start the producer (fences every earlier owner and ends its open transaction), only then read the committed offset,
compare it with what PostgreSQL knows, heal, seek.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from processors.model import Bounds
from processors.ports import Output, RawLog, State
from runtime.errors import FencedError, RefusedError
from runtime.logs import logger


@dataclass(frozen=True, slots=True)
class Initialize:
    """Begin at the log's start, and commit that first: nothing was ever committed or claimed."""

    offset: int


@dataclass(frozen=True, slots=True)
class Heal:
    """Claim [start, end) again, without output, then go on at `end`: PostgreSQL knows less than was committed."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on at the committed offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stand still: going on would lose or repeat events."""

    reason: str


log = logger(__name__)

Plan: TypeAlias = Initialize | Heal | Resume | Refuse


def plan_takeover(committed: int | None, progress: int | None, bounds: Bounds) -> Plan:
    """Plan where to begin, from the committed offset, PostgreSQL's progress and the log's bounds. Pure."""
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
            f"the group has no committed offset, but records up to {progress} were processed: the group is new, or the "
            "topic of its offsets was lost; set them with `ringover-ops rewind`"
        )
    if committed < bounds.start:
        return Refuse(
            f"records {committed} to {bounds.start - 1} were removed by retention before they were processed; to go on "
            f"without them: `ringover-ops rewind --to-offset {bounds.start} --skip-unprocessed` for this partition"
        )
    if progress is None or progress < committed:
        return Heal(max(progress or 0, bounds.start), committed)
    return Resume(committed)


async def take_over(raw: RawLog, state: State, output: Output, *, heal: Callable[[int, int], Awaitable[None]]) -> int:
    """Become the only owner of a partition, and return the offset to begin at; the log is positioned there.

    `heal(start, end)` claims the records in [start, end) without output.

    Raises:
        TransientError: Kafka or PostgreSQL is away; take over again with a new output.
        FencedError: another process owns the partition now.
        RefusedError: going on would break the guarantee.
    """
    await output.start()
    committed = await raw.committed()
    progress, bounds = await state.progress(), await raw.bounds()
    plan = plan_takeover(committed, progress, bounds)
    match plan:
        case Refuse(reason=reason):
            if await raw.committed() != committed:  # frozen meanwhile: what was read is of different times
                raise FencedError("another process took the partition over")
            raise RefusedError(reason)
        case Initialize(offset=offset):
            # Commit before the first claim: a crash between the two must not look like lost offsets.
            await output.commit({}, offset)
            await state.open(offset)
        case Heal(start=start, end=offset):
            # Not at `start`: PostgreSQL may have lost more since it was asked, and nobody would claim what is between.
            await state.open(bounds.start)
            await heal(start, offset)
        case Resume(offset=offset):
            pass
    if committed is not None:
        await _correct_shown(raw, output, committed)
    raw.seek(offset)
    return offset


async def _correct_shown(raw: RawLog, output: Output, committed: int) -> None:
    """Make what Kafka's tools see of the group what it is.

    They see something else when the coordinator crashed and shows an older offset, or when one of these tools moved it,
    which moves no processor: `ringover-ops rewind` does.
    """
    shown = await raw.shown()
    if shown != committed:
        await output.commit({}, committed)
        log.warning("partition.offset_corrected", shown=shown, committed=committed)
