"""An event loop without clock and sockets: it runs what is ready, then hands back; time passes only when told to."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class VirtualLoop(asyncio.BaseEventLoop):
    """`settle()` runs until every task waits for something; `advance()` then lets the next timer come true.

    It is its own selector: asyncio asks a selector how long to wait for sockets, and there are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = self
        self._now = 0.0
        self._next_timer: float | None = None

    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Run until nothing is ready."""
        self.run_forever()

    @property
    def waits_for_time(self) -> bool:
        """Whether a timer is all that some task waits for."""
        return self._next_timer is not None

    def advance(self) -> None:
        """Let the next timer come true, then settle."""
        self._now += (self._next_timer or 0.0) + 1e-6  # past it, whatever floats make of the sum
        self.settle()

    def select(self, timeout: float | None) -> tuple[()]:
        """What asyncio calls when it has gone through what was ready: 0 if more is, else until the next timer."""
        if timeout != 0:
            self._next_timer = timeout
            self.stop()
        return ()

    def _process_events(self, _events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps that would have to be woken."""


@contextmanager
def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop of its own for one schedule. Whoever ends it in order has no task left; after a failure all are ended."""
    loop = VirtualLoop()
    try:
        yield loop
        assert not asyncio.all_tasks(loop), "tasks are left over"
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.settle()
        loop.close()
