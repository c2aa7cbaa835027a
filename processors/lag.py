"""Keeps how far each partition is, and tells from it how much waits and for how long. Pure.

A partition's pipeline writes its status; lag metrics and probes read it every few seconds.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class ProblemKind(StrEnum):
    """Tells who must act: `waits` passes by itself, `refused` needs an operator, `unexpected` a developer."""

    WAITS = "waits"
    REFUSED = "refused"
    UNEXPECTED = "unexpected"


class PartitionProblem(NamedTuple):
    """Says in words for an operator why a partition does not get on."""

    words: str
    kind: ProblemKind = ProblemKind.WAITS


@dataclass(slots=True)
class PartitionStatus:
    """Holds how far a partition is, for the lag metrics and for readiness.

    `position`: everything below is committed; None before the takeover. `end`: one past the log's last record, when
    Kafka was last asked. `pending`: broker time (ms) of the first record of each batch in hand. `given_up`: that of the
    record at `position`, when it was in hand and the attempt failed. `problem`: why it does not get on, until a batch
    is committed or there is none.
    """

    position: int | None = None
    end: int | None = None
    pending: deque[int] = field(default_factory=deque)
    given_up: int | None = None
    problem: PartitionProblem | None = None
    _unread_since: tuple[int, float] | None = None  # records that wait at this position cannot be read since then

    @property
    def oldest(self) -> int | None:
        """Broker time (ms) of the oldest record that waits; None when none was read."""
        return self.pending[0] if self.pending else self.given_up

    def reach(self, position: int) -> None:
        """Note that everything below `position` is committed, or was before a takeover."""
        if position != self.position:
            self.position, self.given_up = position, None

    def rest(self, position: int) -> None:
        """Note that nothing is in hand or can be read at `position`; a problem is over only if the log ends there."""
        self.reach(position)
        if self.end is None or position >= self.end:
            self.problem = None

    def give_up(self) -> None:
        """Note that what is in hand must be read again; how old it is stays known."""
        self.given_up = self.oldest
        self.pending.clear()

    def unread_for(self, now: float) -> float:
        """Seconds for which records have waited at `position` and none could be read, by looks that follow each other.

        0 while a problem is known: it says more.
        """
        position, end = self.position, self.end
        if position is None or end is None or position >= end or self.pending or self.problem:
            self._unread_since = None
            return 0.0
        if self._unread_since is None or self._unread_since[0] != position:
            self._unread_since = (position, now)
        return now - self._unread_since[1]


class Lag(NamedTuple):
    """Counts the records that wait, and the age of the oldest one in seconds."""

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

    def look(self, statuses: Mapping[int, PartitionStatus], now: float) -> dict[int, Lag]:
        """Measure the lag of each partition that is ours; `now` in Unix seconds.

        Missing: a partition whose end is not known, or that was not taken over and has no records that surely wait.
        """
        ends = {number: status.end for number, status in statuses.items() if status.end is not None}
        self._first_ends = {n: self._first_ends.get(n, end) for n, end in ends.items() if statuses[n].position is None}
        lags = {}
        for number, end in ends.items():
            status = statuses[number]
            position = self._first_ends[number] if status.position is None else status.position
            records = max(end - position, 0 if status.oldest is None else 1)
            if records:
                lags[number] = Lag(records, now - self._waits_since(number, position, status.oldest, now))
            elif status.position is not None:
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
