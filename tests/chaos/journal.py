"""What the load sent and what it was answered: the obligations that the checker holds the product to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Self

import orjson


class Answer(Enum):
    """What a webhook's sender knows in the end."""

    NONE = "none"  # refused, timed out or cut off at every try: it may be stored or not
    ACCEPTED = "accepted"
    DEAD_LETTERED = "dead_lettered"
    UNAUTHENTICATED = "unauthenticated"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request; `status` 0 means no answer. Seconds on the clock of the run."""

    sent: float
    answered: float
    status: int


@dataclass(slots=True)
class Delivery:
    """One webhook from its first attempt to its last; the request id finds its raw records."""

    request_id: str
    slug: str
    key: str
    body: bytes
    attempts: list[Attempt] = field(default_factory=list)
    answer: Answer = Answer.NONE

    @property
    def acked(self) -> bool:
        """Whether it is an obligation."""
        return self.answer in (Answer.ACCEPTED, Answer.DEAD_LETTERED)

    @property
    def sent(self) -> float:
        """When the first attempt began; before that nothing of it can be stored."""
        return self.attempts[0].sent

    @property
    def answered(self) -> float:
        """When the last attempt ended; after a 2xx it is stored."""
        return self.attempts[-1].answered


@dataclass
class Journal:
    """All deliveries of a run, in the order of their first attempts.

    Attributes:
        acked: how many were answered 2xx so far.
        refused: how many attempts were answered otherwise, or not at all.
        skipped: webhooks that were not sent, because the generator was behind or too many requests were open.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    acked: int = 0
    refused: int = 0
    skipped: int = 0

    def note(self, delivery: Delivery, attempt: Attempt, answer: Answer) -> None:
        """One more attempt, and what the sender knows now."""
        delivery.attempts.append(attempt)
        delivery.answer = answer
        if delivery.acked:
            self.acked += 1
        else:
            self.refused += 1

    def write(self, path: Path) -> None:
        """As JSON lines; `read` is the inverse."""
        write_lines(path, [{"skipped": self.skipped}, *self.deliveries])

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote."""
        with path.open("rb") as file:
            journal = cls(skipped=orjson.loads(next(file))["skipped"])
            for line in file:
                found = orjson.loads(line)
                delivery = Delivery(found["request_id"], found["slug"], found["key"], found["body"].encode())
                journal.deliveries.append(delivery)
                *unanswered, last = (Attempt(**attempt) for attempt in found["attempts"])
                for attempt in unanswered:
                    journal.note(delivery, attempt, Answer.NONE)
                journal.note(delivery, last, Answer(found["answer"]))
        return journal


def write_lines(path: Path, values: Iterable[object]) -> None:
    """A dump for a person to read: one JSON value a line."""
    with path.open("wb") as file:
        for value in values:
            file.write(orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS) + b"\n")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, tuple | set):
        return list(value)
    raise TypeError(type(value).__name__)
