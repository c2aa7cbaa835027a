"""Ends the demo in order at Ctrl-C or SIGTERM, wherever it is."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from sandbox.devstack.errors import AbortedError

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Sets `event` at the first signal and cancels what `run` runs; blocking steps look at the event."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._cancel: Callable[[], object] | None = None
        self._previous: list[Any] = []

    def __enter__(self) -> Self:
        self._previous = [signal.signal(number, self._handle) for number in _SIGNALS]
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in zip(_SIGNALS, self._previous, strict=True):
            signal.signal(number, handler)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine as `asyncio.run` does, until a signal ends it.

        Raises:
            AbortedError: a signal came.
        """
        try:
            return asyncio.run(self._guarded(main))
        except asyncio.CancelledError as error:
            raise AbortedError("stopped") from error

    async def _guarded(self, main: Coroutine[Any, Any, T]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # Not add_signal_handler: it would leave the default handlers behind, and a second Ctrl-C break the clean-up.
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self.event.is_set():
            main.close()
            raise asyncio.CancelledError
        try:
            return await main
        finally:
            self._cancel = None

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.event.set()
        if self._cancel is not None:
            self._cancel()
