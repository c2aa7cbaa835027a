"""A schedule is a string of bytes; each decides one thing. Zero is always the calm choice, so shrinking calms down."""

from collections.abc import Sequence
from typing import TypeVar

from tests.support.memory import Step

Item = TypeVar("Item")

# What can happen next, by weight of 256. The first is what a byte 0 means.
WEIGHTS = {
    "go on": 172,
    "fault": 16,
    "slow answer": 12,
    "freeze": 6,
    "thaw": 6,
    "crash": 3,
    "new owner": 7,
    "append": 8,
    "tick": 4,
    "markers": 3,
    "late request arrives": 4,
    "snapshot": 3,
    "restore": 4,
    "rewind": 2,
    "stop": 1,
    "cancel": 1,
    "transaction expires": 2,
    "coordinator restarts": 2,
}
assert sum(WEIGHTS.values()) == 256
EVENTS = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
REFUSED, LOST, LATE = "refused", "answer lost", "late"
# Steps that ask nobody: the client's own, or an answer's arrival.
NO_REQUEST = {Step.CLAIMED, Step.COMMIT, Step.COMMIT_DONE}


class Schedule:
    """Where the bytes have run out every answer is 0."""

    def __init__(self, decisions: bytes) -> None:
        self._decisions = decisions
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._decisions)

    def one_of(self, items: Sequence[Item]) -> Item:
        if len(items) == 1:
            return items[0]
        byte = self._decisions[self._at] if self.left else 0
        self._at += 1
        return items[byte % len(items)]


def faults_of(step: Step) -> Sequence[str]:
    """What can become of a request: a read is only ever refused, the rest may have happened, or happen later."""
    if step.value.startswith("log.") or step is Step.PROGRESS:
        return (REFUSED,)
    return (REFUSED, LOST, LATE)


EVERY_FAULT = {
    *(name for name in WEIGHTS if name not in ("go on", "fault")),
    *(f"{step}: {fault}" for step in Step if step not in NO_REQUEST for fault in faults_of(step)),
}
