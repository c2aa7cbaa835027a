"""`lag`: looks at the lag once; `lag --watch`: again and again."""

from datetime import UTC, datetime

from rich.console import Group

from ops.kit.errors import UnreachableError
from ops.kit.live import pictures, stopped, ticks
from ops.kit.output import plain, say, write_line
from ops.kit.settings import LagSettings
from ops.kit.standstill import StandstillReader
from ops.lag.model import GroupLag
from ops.lag.read import read_lag
from ops.lag.show import expired_line, lag_table, standstill_lines, total_line
from ops.lag.watch import paces, total_pace, watch_json
from runtime.settings import KafkaSettings


async def look(
    reader: StandstillReader, settings: KafkaSettings, group: str, topic: str, own_topic: str | None
) -> GroupLag:
    """The lag now; `own_topic`: see `committed_offsets`. Of the processors with what they tell of their partitions.

    Raises:
        OpsError: Kafka is away or refuses, or there is no such group or topic.
    """
    found = await read_lag(settings, group=group, topic=topic, own_topic=own_topic)
    return found if own_topic is None else await reader.add_to(found)


async def watch_lag(
    settings: LagSettings, group: str, topic: str, own_topic: str | None, *, every: float, as_lines: bool
) -> None:
    """Until SIGINT or SIGTERM; `as_lines`: one JSON object per look. A broker that is away is waited for.

    `own_topic`: see `committed_offsets`.

    Raises:
        OpsError: the first look failed, or the group or topic is gone.
    """
    stop = stopped()
    reader = StandstillReader(settings)
    last: tuple[float, GroupLag] | None = None
    with pictures(wanted=not as_lines) as draw:
        async for now in ticks(stop, every):
            try:
                found = await look(reader, settings, group, topic, own_topic)
            except UnreachableError as error:
                if last is None:
                    raise
                say(f"warning: {error}")
                continue
            before, seconds = (found, 0.0) if last is None else (last[1], now - last[0])
            last = (now, found)
            pace, total = paces(before, found, seconds), total_pace(before, found, seconds)
            if as_lines:
                write_line(watch_json(found, pace, total, at=datetime.now(UTC).isoformat(timespec="milliseconds")))
            else:
                words = (total_line(found, total), *standstill_lines(found), expired_line(found))
                lines = [plain(line) for line in words if line]
                draw(Group(lag_table(found, pace), *lines))
