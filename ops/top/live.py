"""`top`: looks again and again."""

from datetime import UTC, datetime

from ops.kit.errors import UnreachableError
from ops.kit.live import pictures, stopped, ticks
from ops.kit.output import say, write_line
from ops.kit.settings import LagSettings, StateSettings
from ops.kit.standstill import StandstillReader
from ops.lag.model import GroupLag
from ops.lag.read import look as look_at_lag
from ops.top.pace import paced_json, paces, total_pace
from ops.top.read import observer
from ops.top.render import lag_picture, picture
from ops.top.snapshot import Look, as_json, rates


async def top(settings: StateSettings, *, every: float, once: bool, as_lines: bool) -> None:
    """Until SIGINT or SIGTERM, or after the first look that has rates (`once`).

    Raises:
        OpsError: Kafka or PostgreSQL is away or refuses.
    """
    stop = stopped()
    before: Look | None = None
    async with observer(settings) as eyes:
        with pictures(wanted=not as_lines and not once) as draw:
            async for now in ticks(stop, every, times=2 if once else None):
                look = await eyes.look(now)
                if before is not None or not once:
                    found = None if before is None else rates(before, look)
                    if as_lines:
                        write_line(as_json(look, found, at=_time()))
                    else:
                        draw(picture(before, look, found))
                before = look


async def top_of_group(
    settings: LagSettings, group: str, topic: str | None, *, every: float, once: bool, as_lines: bool
) -> None:
    """The same for the lag of one group, without a database. A broker that is away is waited for.

    Raises:
        OpsError: the first look failed, or the group or topic is gone.
    """
    stop = stopped()
    reader = StandstillReader(settings)
    last: tuple[float, GroupLag] | None = None
    with pictures(wanted=not as_lines and not once) as draw:
        async for now in ticks(stop, every, times=2 if once else None):
            try:
                found = await look_at_lag(reader, settings, group, topic)
            except UnreachableError as error:
                if last is None:
                    raise
                say(f"warning: {error}")
                continue
            before, seconds = (found, 0.0) if last is None else (last[1], now - last[0])
            if last is not None or not once:
                if as_lines:
                    pace, total = paces(before, found, seconds), total_pace(before, found, seconds)
                    write_line(paced_json(found, pace, total, at=_time()))
                else:
                    draw(lag_picture(before, found, seconds))
            last = (now, found)


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
