"""An end to waiting: one timer of the event loop for all that wait equally long, instead of one for each."""

import asyncio


class Deadlines:
    """Lets nobody wait longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[asyncio.Future[None], float] = {}  # in the order of their ends
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[None]) -> None:
        """Fail a future with TimeoutError if it is not done in time, until `forget`."""
        self._due[future] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._end)

    def forget(self, future: asyncio.Future[None]) -> None:
        """It is not waited for any more."""
        del self._due[future]

    def _end(self) -> None:
        self._timer = None
        now = self._loop.time()
        for future, end in self._due.items():
            if end > now:
                self._timer = self._loop.call_at(end, self._end)
                break
            if not future.done():
                future.set_exception(TimeoutError(f"not done in {self._seconds:g} s"))
