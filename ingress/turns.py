"""Turns of the event loop: how much is done in one, so that a burst of large bodies does not block it."""

import asyncio
from collections import deque

# A body of 1 MiB costs about 5 ms for each signing secret and for parsing; a small webhook 0.2 ms in all.
BYTES_PER_TURN = 2 * 1024 * 1024
LEAST_BYTES = 32 * 1024


class Turns:
    """Lets bodies through, first come, first served, up to so many bytes in one turn of the loop."""

    def __init__(self, bytes_per_turn: int = BYTES_PER_TURN) -> None:
        self._bytes_per_turn = bytes_per_turn
        self._left = bytes_per_turn
        self._turning = False
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def wait(self, size: int) -> None:
        """Return at once while this turn has room, otherwise in a later one."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._left > 0 and not self._waiting:
            self._left -= max(size, LEAST_BYTES)
            return
        turn = loop.create_future()
        self._waiting.append((turn, size))
        await turn

    def _turn(self) -> None:
        used = self._left < self._bytes_per_turn
        self._left = self._bytes_per_turn
        while self._left > 0 and self._waiting:
            turn, size = self._waiting.popleft()
            if not turn.done():
                self._left -= max(size, LEAST_BYTES)
                turn.set_result(None)
        self._turning = used or bool(self._waiting)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
