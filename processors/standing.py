"""How far one partition is: written by its pipeline, read by metrics and probes."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class ProblemKind(StrEnum):
    """Tells who must act: `waits` passes by itself, `refused` needs an operator, `unexpected` a developer."""

    WAITS = "waits"
    REFUSED = "refused"
    UNEXPECTED = "unexpected"


class PartitionProblem(NamedTuple):
    """Why a partition does not get on, in words for an operator."""

    words: str
    kind: ProblemKind = ProblemKind.WAITS


@dataclass(slots=True)
class Standing:
    """How far a partition is, for the lag metrics and for readiness.

    `position`: everything below is committed. `end`: where the log ended when Kafka was last asked. `pending`: broker
    time (ms) of the first record of each batch in hand. `given_up`: that of the record at `position`, when it was in
    hand and the attempt failed. `problem`: why it does not get on, until a batch is committed or there is none.
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
        """Everything below `position` is committed, or was before a takeover."""
        if position != self.position:
            self.position, self.given_up = position, None

    def rest(self, position: int) -> None:
        """Nothing is in hand and nothing can be read at `position`; a problem is over only if the log ends there."""
        self.reach(position)
        if self.end is None or position >= self.end:
            self.problem = None

    def give_up(self) -> None:
        """What is in hand must be read again; how old it is stays known."""
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
