"""Looks again and again, for `top`."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from ops.kit.errors import UnreachableError
from ops.kit.live import ticks
from ops.kit.pause import Say
from ops.kit.settings import OffsetSettings, StateSettings
from ops.kit.standstill import StandstillReader
from ops.lag.model import GroupLag
from ops.lag.read import lag_with_standstills
from ops.top.read import pipeline_reader
from ops.top.snapshot import PacedLag, Snapshot, paced


async def snapshots(
    settings: StateSettings, stop: asyncio.Event, *, every: float, once: bool
) -> AsyncGenerator[Snapshot, None]:
    """Yield the pipeline every so many seconds until `stop`; or once (`once`), when there are rates.

    Raises:
        OpsError: Kafka or PostgreSQL is away or refuses.
    """
    async with pipeline_reader(settings) as pipeline:
        async for now in ticks(stop, every, times=2 if once else None):
            snapshot = await pipeline.snapshot(now)
            if snapshot.rates is not None or not once:
                yield snapshot


async def lags(
    settings: OffsetSettings, group: str, topic: str | None, stop: asyncio.Event, say: Say, *, every: float, once: bool
) -> AsyncGenerator[PacedLag, None]:
    """Yield the lag of one group likewise, without a database. A broker that is away is waited for, and `say` hears it.

    Raises:
        OpsError: the first look failed, or the group or topic is gone.
    """
    reader = StandstillReader(settings, say)
    last: tuple[float, GroupLag] | None = None
    async for now in ticks(stop, every, times=2 if once else None):
        try:
            lag = await lag_with_standstills(reader, settings, group, topic)
        except UnreachableError as error:
            if last is None:
                raise
            say(f"warning: {error}")
            continue
        began, before = last or (now, None)
        if before is not None or not once:
            yield paced(before, lag, now - began, at=datetime.now(UTC))
        last = now, lag
