"""How much waits in each partition, and for how long: from what is seen every few seconds. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """What is known of one partition at one look.

    `position`: everything below is processed; None before the takeover. `end`: one past the log's last record.
    `oldest`: broker time (ms) of the record at `position`; None when it was not read yet.
    """

    position: int | None
    end: int
    oldest: int | None


class Lag(NamedTuple):
    """Records that wait, and the age of the oldest one in seconds."""

    records: int
    seconds: float


class LagWatch:
    """Remembers since when something waits, for partitions whose records cannot be read.

    The record at `position` is at least as old as the first look that saw it wait, and as any later record seen then.
    So what is told of a partition that fails grows, and is never more than the truth.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[int, float]] = {}  # offset seen waiting, by partition, and since when
        self._first_ends: dict[int, int] = {}  # of partitions whose position is not known yet

    def look(self, places: Mapping[int, Place], now: float) -> dict[int, Lag]:
        """The lag of each partition that is ours; `now` in Unix seconds.

        A partition that was not taken over yet is missing until records come in that surely wait.
        """
        untaken = {number: place.end for number, place in places.items() if place.position is None}
        self._first_ends = untaken | {n: end for n, end in self._first_ends.items() if n in untaken}
        lags = {}
        for number, place in places.items():
            position = self._first_ends[number] if place.position is None else place.position
            records = max(place.end - position, 0 if place.oldest is None else 1)
            if records:
                lags[number] = Lag(records, now - self._waits_since(number, position, place.oldest, now))
            elif place.position is not None:
                self._waiting.pop(number, None)
                lags[number] = Lag(0, 0.0)
        return lags

    def _waits_since(self, number: int, position: int, oldest: int | None, now: float) -> float:
        since = now if oldest is None else min(now, oldest / 1000)
        seen_at, seen_since = self._waiting.get(number, (position, since))
        if position <= seen_at:
            since = min(since, seen_since)
        self._waiting[number] = position, since
        return since
