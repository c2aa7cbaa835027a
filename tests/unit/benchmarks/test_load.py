"""The load generator, against a small server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.errors import BenchError
from benchmarks.generator import content_length, request
from benchmarks.workload import started

Answer = Callable[[int], Awaitable[bytes]]
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A server that reads requests and answers them by their number; its port."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(content_length(head))
                count += 1
                writer.write(await answer(count))
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def drive(port: int, rate: float, seconds: float, directory: Path) -> load.Load:
    return await asyncio.to_thread(load.at_rate, port, started(10), rate, seconds, directory)


async def accept(_number: int) -> bytes:
    return ACCEPTED


async def test_constant_rate_sends_by_the_clock_and_counts_answers(tmp_path: Path) -> None:
    async with serving(accept) as port:
        found = await drive(port, 100, 1.0, tmp_path)

    assert 90 <= found.answered <= 101
    assert found.unanswered == 0
    assert 0 < found.p50_ms <= found.p99_ms


async def test_without_wrk_our_own_generator_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "have_wrk", lambda: False)
    async with serving(accept) as port:
        found = await asyncio.to_thread(load.full_speed, port, started(10), 0.5, tmp_path)

    assert found.answered > 200


async def test_rate_zero_is_as_fast_as_the_server_answers(tmp_path: Path) -> None:
    async with serving(accept) as port:
        found = await drive(port, 0, 0.5, tmp_path)

    assert found.answered > 200


async def test_one_refusal_is_no_result_but_a_failure(tmp_path: Path) -> None:
    async def refuse_one(number: int) -> bytes:
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" if number == 7 else ACCEPTED

    async with serving(refuse_one) as port:
        with pytest.raises(BenchError, match="1 answers not 2xx"):
            await drive(port, 100, 0.5, tmp_path)


async def test_broken_connection_is_no_result_but_a_failure(tmp_path: Path) -> None:
    async def break_one(number: int) -> bytes:
        if number == 7:
            raise ConnectionResetError
        return ACCEPTED

    async with serving(break_one) as port:
        with pytest.raises(BenchError, match="1 connections broken"):
            await drive(port, 100, 0.5, tmp_path)


async def test_latency_counts_from_when_a_webhook_was_due(tmp_path: Path) -> None:
    async def slow(_number: int) -> bytes:
        await asyncio.sleep(0.3)
        return ACCEPTED

    async with serving(slow) as port:
        found = await drive(port, 400, 1.0, tmp_path)  # 64 connections answer 213 a second

    assert found.p99_ms > 500


def test_request_says_how_long_its_body_is() -> None:
    text = request("/x", "{}", "abc")

    assert text.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert content_length(text.partition(b"\r\n\r\n")[0]) == 2
    assert content_length(b"HTTP/1.1 204 No Content") == 0
