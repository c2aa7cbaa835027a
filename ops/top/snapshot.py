"""What one look at the whole pipeline finds, and the rates between two looks: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.lag.model import GroupLag
from ops.lag.model import as_json as lag_json


@dataclass(frozen=True, slots=True)
class Process:
    """One processor in the group, and the partitions it has now."""

    client_id: str
    host: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """The group is paused by an operator."""

    reason: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Written:
    """Records that became visible on the output topics since the look before; dead letters by who wrote them."""

    events: Mapping[str, int]
    dead_of_processors: int
    dead_of_ingress: int


@dataclass(frozen=True, slots=True)
class Look:
    """Everything, at one time (seconds of a clock that only goes forward)."""

    at: float
    lag: GroupLag
    processes: Sequence[Process]
    pause: Pause | None
    written: Written | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, between two looks.

    `duplicates` is derived: processed, less events, less the processors' dead letters. The three are not read at one
    instant, so over a short while it is off by what was under way; it is never shown below 0.
    """

    stored: float
    processed: float
    events: Mapping[str, float]
    dead_of_processors: float
    dead_of_ingress: float
    duplicates: float


def rates(before: Look, after: Look) -> Rates | None:
    """The rates; None when there is nothing to compare with. A rewind in between counts as nothing processed."""
    seconds = after.at - before.at
    if after.written is None or seconds <= 0:
        return None
    earlier = {partition.partition: partition for partition in before.lag.partitions}
    stored = processed = 0
    for partition in after.lag.partitions:
        old = earlier.get(partition.partition)
        if old is not None:
            stored += max(0, partition.log_end - old.log_end)
            processed += max(0, (partition.committed or 0) - (old.committed or 0))
    written = after.written
    duplicates = max(0, processed - sum(written.events.values()) - written.dead_of_processors)
    return Rates(
        stored=stored / seconds,
        processed=processed / seconds,
        events={topic: count / seconds for topic, count in written.events.items()},
        dead_of_processors=written.dead_of_processors / seconds,
        dead_of_ingress=written.dead_of_ingress / seconds,
        duplicates=duplicates / seconds,
    )


def as_json(look: Look, found: Rates | None, *, at: str) -> dict[str, object]:
    """For `-o json`."""
    return {
        "at": at,
        "rates": None
        if found is None
        else {
            "webhooks_stored": round(found.stored, 1),
            "records_processed": round(found.processed, 1),
            "events": {topic: round(rate, 1) for topic, rate in found.events.items()},
            "duplicates_derived": round(found.duplicates, 1),
            "dead_letters_of_processors": round(found.dead_of_processors, 1),
            "dead_letters_of_ingress": round(found.dead_of_ingress, 1),
        },
        "lag": lag_json(look.lag),
        "processors": [
            {"client_id": process.client_id, "host": process.host, "partitions": list(process.partitions)}
            for process in look.processes
        ],
        "pause": None
        if look.pause is None
        else {"reason": look.pause.reason, "seconds_left": round(look.pause.seconds_left, 1)},
    }
