"""What the audit of rewinds says: pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.rewind.plan import Rate

DEFAULT_RATE = Rate(5000.0, "assumed: no completed rewind to measure")
MOVED = "offsets moved"
_PASSED = re.compile(r"passed again: (?P<records>\d+) records in (?P<seconds>\d+\.\d+) s")
MEASURABLE_RECORDS = 1000  # below, the processors' way back into the group is most of the time


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the audit. `paused`: the group is paused now, and this is its newest rewind."""

    rewind_id: int
    group: str
    topic: str
    who: str
    arguments: str
    before: Mapping[int, int | None]
    target: Mapping[int, int | None]
    begun_at: datetime
    committed_at: datetime | None
    outcome: str | None
    paused: bool = False


def passed_again(records: int, seconds: float) -> str:
    """The outcome of a rewind that was watched to its end; `measured_rate` reads it."""
    return f"passed again: {records} records in {seconds:.2f} s"


def measured_rate(rewind_id: int, outcome: str) -> Rate | None:
    """The rate that an outcome tells, None if it tells none worth trusting."""
    found = _PASSED.fullmatch(outcome)
    if found is None or int(found["records"]) < MEASURABLE_RECORDS or float(found["seconds"]) <= 0:
        return None
    return Rate(int(found["records"]) / float(found["seconds"]), f"measured by rewind {rewind_id}")


def outcome_of(entry: Entry, now: Mapping[int, int | None] | None) -> str:
    """The outcome for people; `now` are the group's committed offsets, None if they cannot be had."""
    if entry.committed_at is not None:
        return entry.outcome or MOVED
    if entry.paused:
        return "under way"
    return f"interrupted: {_whereabouts(entry, now)}"


def _whereabouts(entry: Entry, now: Mapping[int, int | None] | None) -> str:
    """What the offsets say. All partitions move in one transaction, so one that is telling tells for all."""
    if now is None:
        return "what became of the offsets is not known"
    if all(now.get(partition) == offset for partition, offset in entry.before.items()):
        return "the offsets are the old ones"
    if all(now.get(partition) == offset for partition, offset in entry.target.items()):
        return "the offsets are the new ones"
    for partition, before in entry.before.items():
        offset, target = now.get(partition), entry.target.get(partition)
        if None not in (before, offset, target) and target <= offset < before:  # type: ignore[operator]  # not None
            return "the offsets were moved; being passed again"
    return "the group is past the old offsets: they were not moved, or are passed again"


def entry_document(entry: Entry, now: Mapping[int, int | None] | None) -> dict[str, object]:
    """For `-o json`."""
    return {
        "rewind_id": entry.rewind_id,
        "group": entry.group,
        "topic": entry.topic,
        "who": entry.who,
        "arguments": entry.arguments,
        "before": {str(partition): offset for partition, offset in entry.before.items()},
        "target": {str(partition): offset for partition, offset in entry.target.items()},
        "begun_at": entry.begun_at.astimezone(UTC).isoformat(timespec="seconds"),
        "committed_at": None
        if entry.committed_at is None
        else entry.committed_at.astimezone(UTC).isoformat(timespec="seconds"),
        "outcome": outcome_of(entry, now),
    }
