"""Wraps a transport, so that another protocol can be given a transport of its own that passes on to it."""

import asyncio
from typing import Any


class WrappedTransport(asyncio.Transport):
    """Passes on what is asked of it, as long as there is a transport; of writing the subclass decides."""

    __slots__ = ("_paused", "_transport")

    def __init__(self) -> None:
        super().__init__()
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._transport is None else self._transport.get_extra_info(name, default)

    def hold_reading(self) -> None:
        transport = self._transport
        if transport is not None and not self._paused and not transport.is_closing():
            self._paused = True
            transport.pause_reading()

    def go_on_reading(self) -> None:
        transport = self._transport
        if transport is not None and self._paused and not transport.is_closing():
            self._paused = False
            transport.resume_reading()
