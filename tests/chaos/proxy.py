"""A TCP proxy on loopback that can be made to misbehave: one listening port, one server behind it.

Bytes are never dropped inside a connection, as a network does not either: what is held back arrives when the mode
allows it again, be it a request whose sender has given up long ago.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
CHUNKS_IN_FLIGHT = 64  # per direction: what a delay may hold before the sender feels it
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST (socket(7))
TRICKLE_SECONDS = 0.05  # between two pieces of a trickle


@dataclass(frozen=True, slots=True)
class Flow:
    """What one direction does: nothing at all, or late, or slowly."""

    blocked: bool = False
    delay_seconds: float = 0.0
    bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """What the proxy does with connections and their two directions."""

    refuse: bool = False
    to_server: Flow = field(default_factory=Flow)
    to_client: Flow = field(default_factory=Flow)


TRANSPARENT = Mode()
CUT = Mode(refuse=True)  # resets all, refuses new ones
BLACKHOLE = Mode(to_server=Flow(blocked=True), to_client=Flow(blocked=True))  # accepts, passes nothing
DEAF = Mode(to_server=Flow(blocked=True))  # requests do not arrive
MUTE = Mode(to_client=Flow(blocked=True))  # requests arrive and are carried out, answers do not return


def delayed(seconds: float) -> Mode:
    """Each direction late by `seconds`, in order and without a limit of its own on the rate."""
    return Mode(to_server=Flow(delay_seconds=seconds), to_client=Flow(delay_seconds=seconds))


def trickling(bytes_per_second: float) -> Mode:
    """Each direction of each connection passes so many bytes a second."""
    return Mode(to_server=Flow(bytes_per_second=bytes_per_second), to_client=Flow(bytes_per_second=bytes_per_second))


class Proxy:
    """Listens while its context is open; `port` is known as soon as the object is made."""

    def __init__(self, name: str, host: str, port: int, server_port: int) -> None:
        self.name = name
        self.port = port
        self.mode = TRANSPARENT
        self._host = host
        self._server_port = server_port
        self._changed = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def connections(self) -> int:
        """Open connections of clients."""
        return len(self._writers) // 2

    def set(self, mode: Mode) -> None:
        """From now on, for connections that exist, too."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode.refuse:
            self.cut()

    def cut(self) -> None:
        """Reset every connection now; new ones are treated as the mode says."""
        for writer in list(self._writers):
            _reset(writer)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, self._host, self.port, limit=CHUNK_BYTES)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.set(CUT)
        await self._listener.wait_closed()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if not self._admits():
            _reset(to_client)
            return
        try:
            from_server, to_server = await asyncio.open_connection(self._host, self._server_port, limit=CHUNK_BYTES)
        except OSError:
            _reset(to_client)
            return
        pair = {to_client, to_server}
        self._writers |= pair
        if not self._admits():  # it changed meanwhile
            self.cut()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(from_client, to_server, upwards=True))
                group.create_task(self._pass(from_server, to_client, upwards=False))
        except* OSError:
            pass
        finally:
            self._writers -= pair
            for writer in pair:
                _reset(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upwards: bool) -> None:
        """One direction: read into a short queue, deliver from it when the mode allows."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(queue, writer, upwards=upwards))
            data = b"-"
            while data:
                data = await _read(reader)
                delay = self._flow(upwards=upwards).delay_seconds
                await queue.put((asyncio.get_running_loop().time() + delay, data))

    async def _deliver(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, upwards: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._pass_blocks(upwards=upwards)
            if not data:
                writer.write_eof()
                return
            while data:
                await self._pass_blocks(upwards=upwards)
                rate = self._flow(upwards=upwards).bytes_per_second
                size = len(data) if rate is None else max(1, int(rate * TRICKLE_SECONDS))
                writer.write(data[:size])
                await writer.drain()
                if rate is not None:
                    await asyncio.sleep(min(size, len(data)) / rate)
                data = data[size:]

    async def _pass_blocks(self, *, upwards: bool) -> None:
        while self._flow(upwards=upwards).blocked:
            await self._changed.wait()

    def _admits(self) -> bool:
        return not self.mode.refuse

    def _flow(self, *, upwards: bool) -> Flow:
        return self.mode.to_server if upwards else self.mode.to_client


async def _read(reader: asyncio.StreamReader) -> bytes:
    """A broken connection reads like one that ended: a partition hides that from the other side, too."""
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once with RST; a connection that is closed already stays so."""
    with contextlib.suppress(OSError):
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
