"""Ends what takes too long, by one timer of the event loop for all instead of one for each."""

import asyncio
from collections.abc import Callable, Hashable
from itertools import takewhile
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Tells of each that is watched for `seconds`; all of them have the same time."""

    def __init__(self, seconds: float, expired: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._due: dict[T, float] = {}  # in the order of their ends
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, one: T) -> float:
        """Call `expired` with `one` after `seconds`, unless `forget` comes first. Not for one that is watched.

        Returns the time of the event loop, from which they count.
        """
        now = self._loop.time()
        self._due[one] = now + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._seconds, self._end)
        return now

    def forget(self, one: T) -> None:
        """Let one go, whether it is watched or not."""
        self._due.pop(one, None)

    def _end(self) -> None:
        now = self._loop.time()
        late = [one for one, _ in takewhile(lambda item: item[1] <= now, self._due.items())]
        for one in late:
            del self._due[one]
        end = next(iter(self._due.values()), None)
        self._timer = None if end is None else self._loop.call_at(end, self._end)
        for one in late:
            self._expired(one)
