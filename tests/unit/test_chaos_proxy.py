"""The fault proxy on real sockets: each mode does what it says, and everything arrives once it is let through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sandbox.devstack.ports import HOST, free_port
from tests.chaos.proxy import BLACKHOLE, CUT, DEAF, MUTE, TRANSPARENT, Mode, Proxy, delayed, trickling
from tests.support.waiting import until

SOON = 5.0
BRIEFLY = 0.2

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that returns what it gets, and remembers it."""

    def __init__(self) -> None:
        self.received = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.received += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Client:
    """Opens connections to a proxy, and closes all of them at the end."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Stream:
        reader, writer = await asyncio.open_connection(HOST, self._proxy.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Proxy, Echo, Client]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    async with server, Proxy("test", HOST, free_port(), server.sockets[0].getsockname()[1]) as proxy:
        client = Client(proxy)
        try:
            yield proxy, echo, client
        finally:
            await client.close()


async def echoed(stream: Stream, data: bytes) -> bytes:
    reader, writer = stream
    writer.write(data)
    async with asyncio.timeout(SOON):
        return await reader.readexactly(len(data))


async def is_reset(stream: Stream) -> bool:
    reader, writer = stream
    async with asyncio.timeout(SOON):
        try:
            writer.write(b"?")
            await writer.drain()
            return await reader.read(1) == b""
        except ConnectionError:
            return True


async def arrived(echo: Echo, data: bytes) -> None:
    async def seen() -> bool:
        return echo.received.endswith(data)

    await until(seen, seconds=SOON, what="the bytes at the server")


async def silent(stream: Stream) -> bool:
    """Whether nothing comes for a moment; a later answer on the same stream proves that this was the proxy's doing."""
    try:
        async with asyncio.timeout(BRIEFLY):
            await stream[0].readexactly(1)
    except TimeoutError:
        return True
    return False


async def test_transparent_passes_megabytes_unchanged() -> None:
    data = bytes(range(256)) * 16_384
    async with running() as (_, _, client):
        assert await echoed(await client.connect(), data) == data


async def test_the_end_of_one_direction_is_passed_on_and_answers_still_come() -> None:
    async with running() as (_, _, client):
        reader, writer = await client.connect()
        writer.write(b"last words")
        writer.write_eof()
        async with asyncio.timeout(SOON):
            assert await reader.read() == b"last words"


async def test_cut_resets_what_is_open_and_refuses_what_comes() -> None:
    async with running() as (proxy, _, client):
        stream = await client.connect()
        await echoed(stream, b"a")

        proxy.set(CUT)

        assert await is_reset(stream)
        assert await is_reset(await client.connect())
        proxy.set(TRANSPARENT)
        assert await echoed(await client.connect(), b"b") == b"b"


async def test_cut_once_resets_what_is_open_and_lets_new_ones_through() -> None:
    async with running() as (proxy, _, client):
        stream = await client.connect()
        await echoed(stream, b"a")

        proxy.cut()

        assert await is_reset(stream)
        assert await echoed(await client.connect(), b"b") == b"b"


@pytest.mark.parametrize(("mode", "reaches_server"), [(BLACKHOLE, False), (DEAF, False), (MUTE, True)])
async def test_what_is_held_back_arrives_later(mode: Mode, *, reaches_server: bool) -> None:
    async with running() as (proxy, echo, client):
        old = await client.connect()
        await echoed(old, b"before")
        proxy.set(mode)
        new = await client.connect()
        old[1].write(b"old")
        new[1].write(b"new")

        if reaches_server:
            await arrived(echo, b"new")
        assert await silent(old)
        assert await silent(new)
        assert (b"new" in echo.received) == reaches_server

        proxy.set(TRANSPARENT)
        async with asyncio.timeout(SOON):
            assert await old[0].readexactly(3) == b"old"
            assert await new[0].readexactly(3) == b"new"


async def test_a_delay_counts_for_each_direction_and_not_for_each_byte() -> None:
    async with running() as (proxy, _, client):
        stream = await client.connect()
        await echoed(stream, b"a")
        proxy.set(delayed(0.1))
        loop = asyncio.get_running_loop()
        began = loop.time()

        assert await echoed(stream, b"x" * 1_000_000) == b"x" * 1_000_000

        assert 0.2 <= loop.time() - began < SOON


async def test_a_trickle_keeps_its_rate() -> None:
    async with running() as (proxy, _, client):
        stream = await client.connect()
        await echoed(stream, b"a")
        proxy.set(trickling(1000))
        loop = asyncio.get_running_loop()
        began = loop.time()

        assert await echoed(stream, b"x" * 300) == b"x" * 300

        assert loop.time() - began >= 0.25


async def test_a_sender_feels_that_nothing_is_taken() -> None:
    async with running() as (proxy, echo, client):
        stream = await client.connect()
        await echoed(stream, b"a")
        proxy.set(DEAF)
        stream[1].write(bytes(64 * 1024 * 1024))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stream[1].drain()

        assert len(echo.received) == 1
        proxy.cut()


async def test_a_server_that_is_away_resets_the_client() -> None:
    async with Proxy("test", HOST, free_port(), free_port()) as proxy:
        client = Client(proxy)
        assert await is_reset(await client.connect())
        await client.close()
