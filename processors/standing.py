"""How far one partition is: written by its pipeline, read by metrics and probes."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Standing:
    """How far a partition is, for the lag metrics and for readiness.

    `position`: everything below is committed. `pending`: broker time (ms) of the first record of each batch in hand.
    `given_up`: that of the record at `position`, when it was in hand and the attempt failed. `problem`: why it does not
    get on, until a batch is committed or there is none.
    """

    position: int | None = None
    pending: deque[int] = field(default_factory=deque)
    given_up: int | None = None
    problem: str | None = None

    @property
    def oldest(self) -> int | None:
        """Broker time (ms) of the oldest record that waits; None when none was read."""
        return self.pending[0] if self.pending else self.given_up

    def reach(self, position: int) -> None:
        """Everything below `position` is committed, or was before a takeover."""
        if position != self.position:
            self.position, self.given_up = position, None

    def give_up(self) -> None:
        """What is in hand must be read again; how old it is stays known."""
        self.given_up = self.oldest
        self.pending.clear()
