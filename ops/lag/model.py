"""Lag of a consumer group: the arithmetic, pure. `ops.lag.read` reads the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

BAR_CELLS = 20


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """What the broker says of one partition; `committed` is None when the group never committed there.

    `oldest_timestamp_ms` is the broker's timestamp of the first record not yet processed, None if there is none or
    it could not be read in time.
    """

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    oldest_timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Standstill:
    """Holds why a partition stands still, in the processor's words, and since when."""

    since: datetime
    problem: str
    processor: str


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """The lag of one partition.

    `seconds` is the age of the oldest record not yet processed: 0 without lag, None if unknown. `expired` counts
    records that retention deleted before the group processed them. `standstill` is None where none was told.
    """

    partition: int
    committed: int | None
    log_end: int
    records: int
    seconds: float | None
    expired: int
    standstill: Standstill | None = None


@dataclass(frozen=True, slots=True)
class GroupLag:
    """The lag of a group over a topic; the worst partition is the one that is latest in time, then in records."""

    group: str
    topic: str
    state: str
    partitions: tuple[PartitionLag, ...]

    @property
    def records(self) -> int:
        """Records not yet processed, over all partitions."""
        return sum(partition.records for partition in self.partitions)

    @property
    def seconds(self) -> float | None:
        """The lag in seconds of the latest partition; 0 without lag, None if no lagging partition could be dated."""
        lagging = [partition.seconds for partition in self.partitions if partition.records]
        known = [seconds for seconds in lagging if seconds is not None]
        return max(known, default=None if lagging else 0.0)

    @property
    def worst(self) -> PartitionLag | None:
        """The partition to look at first; None when nothing lags."""
        lagging = [partition for partition in self.partitions if partition.records]
        return max(lagging, key=lambda partition: (partition.seconds or 0.0, partition.records), default=None)


def next_unprocessed(offsets: PartitionOffsets) -> int:
    """The offset of the first record that is still there and not processed; the log end if there is none."""
    return min(max(offsets.committed or 0, offsets.log_start), offsets.log_end)


def partition_lag(offsets: PartitionOffsets, *, now_ms: int) -> PartitionLag:
    """The lag of one partition. Without a commit the whole partition is the lag."""
    records = offsets.log_end - next_unprocessed(offsets)
    seconds: float | None = 0.0
    if records:
        oldest = offsets.oldest_timestamp_ms
        # The broker's clock may be ahead of ours.
        seconds = None if oldest is None else max(0.0, (now_ms - oldest) / 1000)
    return PartitionLag(
        partition=offsets.partition,
        committed=offsets.committed,
        log_end=offsets.log_end,
        records=records,
        seconds=seconds,
        expired=0 if offsets.committed is None else max(0, offsets.log_start - offsets.committed),
    )


def bar(value: float, worst: float, *, cells: int = BAR_CELLS) -> str:
    """A bar in proportion to the worst one; anything above zero shows at least one cell."""
    if value <= 0 or worst <= 0:
        return ""
    return "█" * max(1, round(cells * value / worst))


def as_json(lag: GroupLag) -> dict[str, object]:
    """For `-o json`."""
    partitions: Sequence[PartitionLag] = lag.partitions
    return {
        "group": lag.group,
        "topic": lag.topic,
        "state": lag.state,
        "lag_records": lag.records,
        "lag_seconds": lag.seconds,
        "worst_partition": lag.worst.partition if lag.worst else None,
        "partitions": [
            {
                "partition": partition.partition,
                "committed": partition.committed,
                "log_end": partition.log_end,
                "lag_records": partition.records,
                "lag_seconds": partition.seconds,
                "expired_records": partition.expired,
                "standstill": _standstill_json(partition.standstill),
            }
            for partition in partitions
        ],
    }


def _standstill_json(found: Standstill | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {"since": found.since.isoformat(), "problem": found.problem, "processor": found.processor}
