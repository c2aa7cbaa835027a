"""Computes what one look at the whole pipeline shows, and how it moved since the look before: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from ops.kit.pause import Holder
from ops.lag.model import GroupLag, PartitionLag


@dataclass(frozen=True, slots=True)
class PacedPartition(PartitionLag):
    """Tells the lag of one partition and how it moves.

    `processed_per_second` is None where the look before says nothing. `eta_seconds`: until nothing lags at the present
    pace, None if the lag does not shrink.
    """

    processed_per_second: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PacedLag(GroupLag):
    """Tells the lag of a group and how it moves; see `PacedPartition`."""

    also_in_json: ClassVar[tuple[str, ...]] = (*GroupLag.also_in_json, "processed_per_second")

    partitions: Sequence[PacedPartition]
    at: datetime
    eta_seconds: float | None

    @property
    def processed_per_second(self) -> float | None:
        """The sum over the partitions of which it is known."""
        known = [found.processed_per_second for found in self.partitions if found.processed_per_second is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Process:
    """Holds one processor in the group, and the partitions it has now."""

    client_id: str
    host: str
    partitions: Sequence[int]


@dataclass(frozen=True, slots=True)
class NewOutputs:
    """Counts records that became visible on the output topics since the look before; dead letters by who wrote them."""

    events: Mapping[str, int]
    dead_of_processors: int
    dead_of_ingress: int


@dataclass(frozen=True, slots=True)
class PipelineRates:
    """Tells rates per second, between two looks.

    `duplicates_derived`: processed, less events, less the processors' dead letters. The three are not read at one
    instant, so over a short while it is off by what was under way; it is never below 0.
    """

    webhooks_stored: float
    records_processed: float
    events: Mapping[str, float]
    duplicates_derived: float
    dead_letters_of_processors: float
    dead_letters_of_ingress: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Holds everything at one time; `rates` is None at the first look."""

    at: datetime
    rates: PipelineRates | None
    lag: PacedLag
    processors: Sequence[Process]
    pause: Holder | None


def paced(before: GroupLag | None, after: GroupLag, seconds: float, *, at: datetime) -> PacedLag:
    """Compute the pace of each partition and of the group from two looks, so many seconds apart."""
    earlier = {partition.partition: partition for partition in before.partitions} if before else {}
    partitions = [_paced(earlier.get(partition.partition), partition, seconds) for partition in after.partitions]
    known = before is not None and any(partition.processed_per_second is not None for partition in partitions)
    eta = _eta(before.lag_records, after.lag_records, seconds) if before is not None and known else None
    return PacedLag(after.group, after.topic, after.state, partitions, at, eta)


def _paced(before: PartitionLag | None, after: PartitionLag, seconds: float) -> PacedPartition:
    values = {field.name: getattr(after, field.name) for field in fields(PartitionLag)}
    if before is None or before.committed is None or after.committed is None or seconds <= 0:
        return PacedPartition(**values)
    # A rewind moves the offset back; that is no pace.
    per_second = max(0, after.committed - before.committed) / seconds
    eta = _eta(before.lag_records, after.lag_records, seconds)
    return PacedPartition(**values, processed_per_second=per_second, eta_seconds=eta)


def _eta(before: int, after: int, seconds: float) -> float | None:
    if after == 0:
        return 0.0
    return after * seconds / (before - after) if before > after else None


def rates(before: GroupLag | None, after: GroupLag, new: NewOutputs | None, seconds: float) -> PipelineRates | None:
    """Compute the rates; None when there is nothing to compare with. A rewind in between is nothing processed."""
    if before is None or new is None or seconds <= 0:
        return None
    earlier = {partition.partition: partition for partition in before.partitions}
    stored = processed = 0
    for partition in after.partitions:
        old = earlier.get(partition.partition)
        if old is not None:
            stored += max(0, partition.log_end - old.log_end)
            processed += max(0, (partition.committed or 0) - (old.committed or 0))
    duplicates = max(0, processed - sum(new.events.values()) - new.dead_of_processors)
    return PipelineRates(
        webhooks_stored=stored / seconds,
        records_processed=processed / seconds,
        events={topic: count / seconds for topic, count in new.events.items()},
        duplicates_derived=duplicates / seconds,
        dead_letters_of_processors=new.dead_of_processors / seconds,
        dead_letters_of_ingress=new.dead_of_ingress / seconds,
    )
