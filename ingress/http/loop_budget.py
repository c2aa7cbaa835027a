"""Bounds how much work is done per iteration of the event loop, so that what comes all at once does not block it."""

import asyncio
from collections import deque
from collections.abc import Callable


class LoopBudget:
    """Lets work through, first come, first served, up to so much of it per iteration of the event loop."""

    def __init__(self, per_iteration: int) -> None:
        self._per_iteration = per_iteration
        self._left = per_iteration
        self._scheduled = False
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()

    def take(self, work: int = 1) -> bool:
        """Whether this iteration has room for it; the last one to be let through may take more than is left."""
        if self._left <= 0 or self._waiting:
            return False
        self._left -= work
        self._schedule()
        return True

    def later(self, callback: Callable[[], None], work: int = 1) -> None:
        self._waiting.append((callback, work))
        self._schedule()

    async def wait(self, work: int = 1) -> None:
        """Return in a later iteration: for who was not let through now."""
        admitted = asyncio.get_running_loop().create_future()
        self.later(lambda: None if admitted.done() else admitted.set_result(None), work)
        await admitted

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._scheduled = False
        self._left = self._per_iteration
        while self._left > 0 and self._waiting:
            callback, work = self._waiting.popleft()
            self._left -= work
            callback()
        if self._left < self._per_iteration or self._waiting:
            self._schedule()
