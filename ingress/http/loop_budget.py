"""Turns of the event loop: how much is done in one, so that what comes all at once does not block it."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Lets work through, first come, first served, up to so much of it in one turn of the loop."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._turning = False
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()

    def take(self, work: int = 1) -> bool:
        """Whether this turn has room for it; the last one to be let through may take more than is left."""
        if self._left <= 0 or self._waiting:
            return False
        self._left -= work
        if not self._turning:
            self._keep_turning()
        return True

    def later(self, callback: Callable[[], None], work: int = 1) -> None:
        """Call in a later turn."""
        self._waiting.append((callback, work))
        self._keep_turning()

    async def turn(self, work: int = 1) -> None:
        """Return in a later turn: for who was not let through now."""
        turn = asyncio.get_running_loop().create_future()
        self.later(lambda: None if turn.done() else turn.set_result(None), work)
        await turn

    def _keep_turning(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        self._left = self._per_turn
        while self._left > 0 and self._waiting:
            callback, work = self._waiting.popleft()
            self._left -= work
            callback()
        if self._left < self._per_turn or self._waiting:
            self._keep_turning()
