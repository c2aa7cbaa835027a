"""How lag moves between two looks, and how that is shown: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.kit.times import duration
from ops.lag.model import GroupLag, PartitionLag, as_json

COLUMNS = ("records/s", "caught up in")


@dataclass(frozen=True, slots=True)
class Pace:
    """Records processed per second, and seconds until nothing lags at the present pace (None: it does not shrink)."""

    per_second: float
    eta_seconds: float | None


def paces(before: GroupLag, after: GroupLag, seconds: float) -> list[Pace | None]:
    """The pace of each partition of `after`; None where the look before says nothing."""
    earlier = {partition.partition: partition for partition in before.partitions}
    return [_pace(earlier.get(partition.partition), partition, seconds) for partition in after.partitions]


def total_pace(before: GroupLag, after: GroupLag, seconds: float) -> Pace | None:
    """The pace of the whole group."""
    known = [pace for pace in paces(before, after, seconds) if pace is not None]
    if not known:
        return None
    processed = sum(pace.per_second for pace in known)
    return Pace(processed, _eta(after.records, before.records - after.records, seconds))


def _pace(before: PartitionLag | None, after: PartitionLag, seconds: float) -> Pace | None:
    if before is None or before.committed is None or after.committed is None or seconds <= 0:
        return None
    # A rewind moves the offset back; that is no pace.
    processed = max(0, after.committed - before.committed) / seconds
    return Pace(processed, _eta(after.records, before.records - after.records, seconds))


def _eta(records: int, shrunk: int, seconds: float) -> float | None:
    if records == 0:
        return 0.0
    return records * seconds / shrunk if shrunk > 0 and seconds > 0 else None


def cells(pace: Pace | None) -> tuple[str, str]:
    """Rate and time to zero."""
    if pace is None:
        return "?", "?"
    return f"{pace.per_second:,.0f}", "not shrinking" if pace.eta_seconds is None else duration(pace.eta_seconds)


def in_words(pace: Pace | None) -> str:
    """The same for the line of the sum; nothing without a pace."""
    return "" if pace is None else ", {} records/s, caught up in {}".format(*cells(pace))


def paced_json(after: GroupLag, pace: Sequence[Pace | None], total: Pace | None, *, at: str) -> dict[str, object]:
    """The lag for `-o json`, with rates and times to zero."""
    look = as_json(after)
    rows = look["partitions"]
    assert isinstance(rows, list)
    for row, found in zip(rows, pace, strict=True):
        row.update(_fields(found))
    return {"at": at, **look, **_fields(total)}


def _fields(pace: Pace | None) -> dict[str, object]:
    return {
        "processed_per_second": None if pace is None else round(pace.per_second, 1),
        "eta_seconds": None if pace is None or pace.eta_seconds is None else round(pace.eta_seconds, 1),
    }
