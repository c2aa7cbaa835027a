"""Watches the processors pass the old offsets again."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ops.kit.live import stopped
from ops.kit.progress import Advance
from ops.rewind.offsets_kafka import committed
from ops.rewind.plan import Plan
from ops.rewind.prepare import World

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Passed:
    """How far the pass is; `seconds` since it began."""

    records: int
    of: int
    seconds: float

    @property
    def done(self) -> bool:
        """Whether every old offset has been passed."""
        return self.records >= self.of

    @property
    def rate(self) -> float:
        """Records a second so far."""
        return self.records / self.seconds if self.seconds > 0 else 0.0


def passed(plan: Plan, now: Mapping[int, int | None], seconds: float) -> Passed:
    """How much of what a plan repeats has been processed again, by the committed offsets of now. Pure."""
    records = 0
    for move in plan.moves:
        offset = now.get(move.partition)
        if move.moves and move.records and move.target is not None and offset is not None:
            records += min(max(0, offset - move.target), move.records)
    return Passed(records, sum(move.records for move in plan.moves if move.moves), seconds)


async def follow(world: World, plan: Plan, advance: Advance) -> Passed:
    """Look until everything is passed again, or until Ctrl-C (SIGINT, SIGTERM), which leaves the processors at it."""
    stop, began, known = stopped(), time.monotonic(), 0
    while True:
        now = await committed(world.place, world.group, world.partitions, fenced=False)
        standing = passed(plan, now, time.monotonic() - began)
        advance(standing.records - known, total=standing.of)
        known = standing.records
        if standing.done or stop.is_set():
            return standing
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue
