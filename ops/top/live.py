"""`top`: looks again and again."""

from datetime import UTC, datetime

from ops.kit.live import pictures, stopped, ticks
from ops.kit.output import write_line
from ops.state.session import StateSettings
from ops.top.read import observer
from ops.top.render import picture
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
                        write_line(as_json(look, found, at=datetime.now(UTC).isoformat(timespec="milliseconds")))
                    else:
                        draw(picture(before, look, found))
                before = look
