"""Computes the lag of a consumer group: pure. `ops.lag.read` reads the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """Holds what the broker says of one partition; `committed` is None when the group never committed there."""

    partition: int
    log_start: int
    log_end: int
    committed: int | None

    @property
    def first_unprocessed(self) -> int:
        """The offset of the first record that is still there and not processed; the log end if there is none."""
        return min(max(self.committed or 0, self.log_start), self.log_end)


@dataclass(frozen=True, slots=True)
class Standstill:
    """Holds why a partition stands still, in the processor's words, and since when."""

    since: datetime
    problem: str
    processor: str


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Tells the lag of one partition.

    `lag_seconds` is the age of the oldest record not yet processed: 0 without lag, None if unknown. `expired_records`
    were deleted by retention before the group processed them. `standstill` is None where none was told.
    """

    partition: int
    committed: int | None
    log_end: int
    lag_records: int
    lag_seconds: float | None
    expired_records: int
    standstill: Standstill | None = None


@dataclass(frozen=True, slots=True)
class GroupLag:
    """Tells the lag of a group over a topic."""

    also_in_json: ClassVar[tuple[str, ...]] = ("lag_records", "lag_seconds", "worst_partition")

    group: str
    topic: str
    state: str
    partitions: Sequence[PartitionLag]

    @property
    def lag_records(self) -> int:
        """Records not yet processed, over all partitions."""
        return sum(partition.lag_records for partition in self.partitions)

    @property
    def lag_seconds(self) -> float | None:
        """The lag of the latest partition; 0 without lag, None if no lagging partition could be dated."""
        known = [partition.lag_seconds for partition in self._lagging if partition.lag_seconds is not None]
        return max(known, default=None if self._lagging else 0.0)

    @property
    def worst_partition(self) -> int | None:
        """The partition to look at first: the latest in time, then in records; None when nothing lags."""
        worst = max(self._lagging, key=lambda found: (found.lag_seconds or 0.0, found.lag_records), default=None)
        return None if worst is None else worst.partition

    @property
    def _lagging(self) -> list[PartitionLag]:
        return [partition for partition in self.partitions if partition.lag_records]


def partition_lag(offsets: PartitionOffsets, oldest_ms: int | None, *, now_ms: int) -> PartitionLag:
    """Compute the lag of one partition. Without a commit the whole partition is the lag.

    `oldest_ms`: the broker's timestamp of the first record not processed; None if there is none, or it came too late.
    """
    records = offsets.log_end - offsets.first_unprocessed
    seconds: float | None = 0.0
    if records:
        # The broker's clock may be ahead of ours.
        seconds = None if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)
    return PartitionLag(
        partition=offsets.partition,
        committed=offsets.committed,
        log_end=offsets.log_end,
        lag_records=records,
        lag_seconds=seconds,
        expired_records=0 if offsets.committed is None else max(0, offsets.log_start - offsets.committed),
    )
