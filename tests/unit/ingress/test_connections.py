"""What a hostile or broken peer meets, byte by byte: unreadable HTTP, slowness, size, pile-ups, and the drain."""

import asyncio
import functools
import gc
import json
import logging
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import http_parser, web
from structlog.testing import capture_logs

from ingress.http import server
from ingress.http import server as ingress_server
from ingress.http.exchanges import Exchanges
from ingress.http.guard import Guard
from ingress.http.server import require_c_parser
from runtime.errors import RefusedError
from tests.support.waiting import until
from tests.unit.ingress.serving import (
    BODY,
    STARTED_PATH,
    Answer,
    Raw,
    Serving,
    head,
    raw_connection,
    serving,
    signed_head,
)

WEBHOOK = signed_head(BODY, f"Content-Length: {len(BODY)}") + BODY
CHUNKED = signed_head(BODY, "Transfer-Encoding: chunked")


@pytest.fixture(autouse=True)
def _short_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGERING_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def _quiet_aiohttp() -> Iterator[None]:
    logger = logging.getLogger("aiohttp.server")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["code"] == code
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"hello\r\n\r\n", id="not HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(f"POST {STARTED_PATH} HTTP/1.1\r\n\r\n".encode(), id="no Host"),
        pytest.param(head("Host: another"), id="two Hosts"),
        pytest.param(head("Content-Length: 5", "Content-Length: 6"), id="two lengths"),
        pytest.param(head("Content-Length: 5", "Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param(head("Content-Length: -1"), id="negative length"),
        pytest.param(head("Content-Length: 1_000"), id="length is no number"),
        pytest.param(head("Content-Type: application/json", "Content-Type: application/json"), id="two media types"),
        pytest.param(head("Bad Name: x"), id="space in a name"),
        pytest.param(head("X: a\x00b"), id="NUL in a value"),
        pytest.param(head("X: " + "x" * 9000), id="oversized header"),
        pytest.param(head(path="/" + "x" * 9000), id="oversized request line"),
        pytest.param(head(*(f"X-{number}: x" for number in range(200))), id="too many headers"),
        pytest.param(head("Transfer-Encoding: nonsense"), id="unknown transfer encoding"),
    ],
)
async def test_unreadable_http_is_400_and_the_connection_ends(request_bytes: bytes) -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(request_bytes)

        assert_problem(await connection.answer(), 400, "http_unreadable")
        assert await connection.closed()
        assert server.nothing_stored


async def test_broken_chunks_are_408_at_the_deadline() -> None:
    """Aiohttp tells nobody who waits for a body that its chunks broke, so it is waited for like a slow one."""
    async with serving(request_timeout_seconds=0.5) as server, raw_connection(server) as connection:
        await connection.send(CHUNKED + chunk(BODY[:10]))
        await until(lambda: in_flight(server), seconds=5)
        await connection.send(b"this is no chunk size\r\n")

        assert_problem(await connection.answer(), 408, "request_timeout")
        assert await connection.closed()
        assert server.nothing_stored


async def in_flight(server: Serving) -> bool:
    return server.exchanges.in_flight > 0


async def idle(server: Serving) -> bool:
    return server.exchanges.in_flight == 0


async def test_body_cut_off_by_its_sender_is_not_stored() -> None:
    async with serving() as server:
        async with raw_connection(server) as connection:
            await connection.send(WEBHOOK[:-5])
            await until(lambda: in_flight(server), seconds=5)
        await until(lambda: idle(server), seconds=5)

        assert server.nothing_stored
        assert server.counted("ringover_webhook_refused_total", code="body_incomplete") == 1


async def test_chunked_body_is_taken() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(CHUNKED + chunk(BODY[:10]) + chunk(BODY[10:]) + b"0\r\n\r\n")

        assert (await connection.answer()).status == 202
        assert [value for _, _, value, _ in server.raw] == [BODY]


async def test_body_in_small_pieces_is_taken() -> None:
    async with serving() as server, raw_connection(server) as connection:
        for position in range(len(WEBHOOK)):
            await connection.send(WEBHOOK[position : position + 1])

        assert (await connection.answer()).status == 202


async def test_announced_oversize_is_413_before_any_of_it_arrives() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(signed_head(BODY, "Content-Length: 99999999999"))

        assert_problem(await connection.answer(), 413, "body_too_large")
        assert await connection.closed()


async def test_chunked_oversize_is_413_without_reading_on() -> None:
    async with serving(max_body_bytes=1000) as server, raw_connection(server) as connection:
        await connection.send(CHUNKED + chunk(b"x" * 1001))

        assert_problem(await connection.answer(), 413, "body_too_large")
        assert await connection.closed()
        assert server.nothing_stored


async def test_expected_continue_is_sent() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(signed_head(BODY, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))

        assert await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(BODY)
        assert (await connection.answer()).status == 202


async def test_expected_continue_is_not_sent_for_what_is_refused() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(signed_head(BODY, "Content-Length: 999999", "Expect: 100-continue"))

        assert_problem(await connection.answer(), 413, "body_too_large")


async def test_slow_body_is_408_and_the_connection_ends() -> None:
    async with serving(request_timeout_seconds=0.2) as server, raw_connection(server) as connection:
        began = time.monotonic()
        await connection.send(WEBHOOK[:-5])

        assert_problem(await connection.answer(), 408, "request_timeout")
        assert await connection.closed()
        assert time.monotonic() - began < 3
        assert server.nothing_stored


async def drip(connection: Raw, data: bytes) -> None:
    """Send a byte every 20 ms until the peer has enough of it."""
    for position in range(len(data)):
        await connection.send(data[position : position + 1])
        await asyncio.sleep(0.02)


async def test_dripped_body_does_not_extend_the_deadline() -> None:
    async with serving(request_timeout_seconds=0.2) as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK[: -len(BODY)])
        dripping = asyncio.create_task(drip(connection, BODY))

        assert_problem(await connection.answer(), 408, "request_timeout")
        dripping.cancel()


async def test_dripped_head_is_408() -> None:
    async with serving(head_seconds=0.2) as server, raw_connection(server) as connection:
        dripping = asyncio.create_task(drip(connection, WEBHOOK))

        assert_problem(await connection.answer(), 408, "request_timeout")
        dripping.cancel()
        assert server.nothing_stored


async def test_dripped_second_head_is_408_too() -> None:
    async with serving(head_seconds=0.2) as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK)
        assert (await connection.answer()).status == 202
        await connection.send(WEBHOOK[:20])

        assert_problem(await connection.answer(), 408, "request_timeout")


async def test_silent_connection_is_closed_after_the_keepalive() -> None:
    async with serving(keepalive_seconds=0.2) as server, raw_connection(server) as connection:
        assert await connection.closed()


async def test_idle_connection_is_closed_after_the_keepalive() -> None:
    async with serving(keepalive_seconds=0.2) as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK)

        assert (await connection.answer()).status == 202
        assert await connection.closed()


async def test_connection_outlives_a_publish_longer_than_the_keepalive() -> None:
    async with serving(keepalive_seconds=0.1) as server, raw_connection(server) as connection:
        server.publisher.hold()
        await connection.send(WEBHOOK)
        await until(lambda: in_flight(server), seconds=5)
        asyncio.get_running_loop().call_later(0.4, server.publisher.release)

        assert (await connection.answer()).status == 202


async def test_beyond_the_in_flight_limit_is_503() -> None:
    async with serving(max_in_flight=1) as server, raw_connection(server) as one, raw_connection(server) as two:
        server.publisher.hold()
        await one.send(WEBHOOK)
        await until(lambda: in_flight(server), seconds=5)
        await two.send(WEBHOOK)

        refused = await two.answer()
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        server.publisher.release()
        assert (await one.answer()).status == 202
        await two.send(WEBHOOK)
        assert (await two.answer()).status == 202


async def test_fault_outside_the_handler_is_500_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchanges, "_answered", lambda *_: 1 // 0)
    with capture_logs() as lines:
        async with serving() as server, raw_connection(server) as connection:
            await connection.send(WEBHOOK)

            assert_problem(await connection.answer(), 500, "internal")
            assert await connection.closed()
    assert ["ZeroDivisionError" in str(line) for line in lines if line["event"] == "connection.failed"] == [True]


async def test_unreadable_http_is_no_fault_of_ours() -> None:
    with capture_logs() as lines:
        async with serving() as server, raw_connection(server) as connection:
            await connection.send(b"hello\r\n\r\n")
            assert (await connection.answer()).status == 400
    assert [line for line in lines if line["event"] == "connection.failed"] == []


async def test_what_comes_behind_a_webhook_that_is_being_stored_waits_and_is_counted() -> None:
    behind = 20
    async with serving() as server, raw_connection(server) as connection:
        server.publisher.hold()
        await connection.send(WEBHOOK)
        await until(lambda: publishing(server), seconds=5)
        await connection.send(WEBHOOK * behind)
        await until(lambda: buffered(server), seconds=5)
        assert server.publisher.waiting == 1

        server.publisher.release()
        assert [(await connection.answer()).status for _ in range(1 + behind)] == [202] * (1 + behind)
        assert server.counted("ringover_http_buffered_bytes") == 0


async def buffered(server: Serving) -> bool:
    return server.counted("ringover_http_buffered_bytes") > 0


async def test_pipelined_webhooks_are_answered_in_order() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK + WEBHOOK.replace(b"call-started", b"nowhere12345") + WEBHOOK)

        assert [(await connection.answer()).status for _ in range(3)] == [202, 404, 202]


async def test_peer_that_never_reads_is_cut() -> None:
    async with serving() as server, raw_connection(server) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        refused = head("Content-Length: 0", path="/" + "x" * 100)

        async def cut() -> bool:
            connection.writer.write(refused * 500)
            return connection.writer.transport.is_closing()

        await until(cut, seconds=30)


async def test_upgrade_is_declined_and_the_connection_ends() -> None:
    upgrade = signed_head(BODY, f"Content-Length: {len(BODY)}", "Connection: Upgrade", "Upgrade: websocket") + BODY
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(upgrade + b"\x81\x05hello" + WEBHOOK)

        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (202, "close")
        assert await connection.closed()
        assert len(server.raw) == 1


@pytest.mark.parametrize(
    ("version", "asked", "said", "kept"),
    [
        ("1.1", "keep-alive", None, True),
        ("1.1", "close", "close", False),
        ("1.0", "keep-alive", "keep-alive", True),
        ("1.0", "close", "close", False),
    ],
)
async def test_connection_is_kept_as_the_sender_wants_it(
    version: str, asked: str, said: str | None, kept: bool
) -> None:
    webhook = signed_head(BODY, f"Content-Length: {len(BODY)}", f"Connection: {asked}") + BODY
    webhook = webhook.replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(webhook)
        answer = await connection.answer()
        assert (answer.status, answer.headers.get("connection")) == (202, said)
        if kept:
            await connection.send(webhook)
            assert (await connection.answer()).status == 202
        else:
            assert await connection.closed()


async def test_answer_to_head_has_no_body() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(head("Content-Length: 0").replace(b"POST", b"HEAD") + WEBHOOK)

        first = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
        assert first.startswith("HTTP/1.1 405 ")
        assert "content-length: 0" not in first.lower()
        assert (await connection.answer()).status == 202


async def test_answer_has_the_time() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK)

        answered = parsedate_to_datetime((await connection.answer()).headers["date"])
        assert abs(answered.timestamp() - time.time()) < 5


async def test_absolute_uri_is_taken() -> None:
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(WEBHOOK.replace(b"POST /wh", b"POST http://test/wh", 1))

        assert (await connection.answer()).status == 202


async def test_content_type_that_is_not_utf8_is_stored_without_its_parameters() -> None:
    request = WEBHOOK.replace(b"application/json", b"application/json; a=\xff", 1)
    async with serving() as server, raw_connection(server) as connection:
        await connection.send(request)

        assert (await connection.answer()).status == 202


async def test_drain_finishes_what_is_in_flight() -> None:
    finished = asyncio.Event()

    async def run(started: asyncio.Future[Serving], leave: asyncio.Event) -> None:
        async with serving() as server:
            started.set_result(server)
            await leave.wait()
        finished.set()

    started: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()
    running = asyncio.create_task(run(started, leave))
    server = await started
    server.publisher.hold()
    async with raw_connection(server) as publishing, raw_connection(server) as arriving:
        await publishing.send(WEBHOOK)
        await arriving.send(WEBHOOK[:-5])
        await until(lambda: both_in_flight(server), seconds=5)
        leave.set()
        await until(lambda: refuses_connections(server), seconds=5)
        await arriving.send(WEBHOOK[-5:])
        await until(lambda: both_publishing(server), seconds=5)
        assert not finished.is_set()
        server.publisher.release()

        for connection in (publishing, arriving):
            answer = await connection.answer()
            assert (answer.status, answer.headers["connection"]) == (202, "close")
    await running
    assert [json.loads(value) for _, _, value, _ in server.raw] == [json.loads(BODY)] * 2


async def test_leaving_server_answers_idle_and_new_connections_and_closes_them() -> None:
    leaving = asyncio.Event()

    async def run(started: asyncio.Future[Serving], leave: asyncio.Event) -> None:
        async with serving(leave_seconds=1.0) as server:
            started.set_result(server)
            await leave.wait()
            asyncio.get_running_loop().call_soon(leaving.set)  # when the context has been left

    started: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()
    running = asyncio.create_task(run(started, leave))
    server = await started
    async with raw_connection(server) as idle, raw_connection(server) as silent:
        await idle.send(WEBHOOK)
        assert "connection" not in (await idle.answer()).headers
        leave.set()
        await leaving.wait()
        async with raw_connection(server) as new:
            for connection in (idle, new):
                await connection.send(WEBHOOK)
                answer = await connection.answer()
                assert (answer.status, answer.headers["connection"]) == (202, "close")
                assert await connection.closed()
        assert not running.done()
        assert await silent.closed()
    await running
    assert len(server.raw) == 3


async def both_in_flight(server: Serving) -> bool:
    return server.exchanges.in_flight == 2


async def both_publishing(server: Serving) -> bool:
    return server.publisher.waiting == 2


async def refuses_connections(server: Serving) -> bool:
    try:
        async with raw_connection(server):
            return False
    except ConnectionError:
        return True


async def test_drain_is_bounded() -> None:
    began = time.monotonic()
    async with serving(drain_seconds=0.2) as server, raw_connection(server) as connection:
        server.publisher.hold()
        await connection.send(WEBHOOK)
        await until(lambda: in_flight(server), seconds=5)

    assert time.monotonic() - began < 6


def test_python_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_c_parser()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)

    with pytest.raises(RefusedError, match="AIOHTTP_NO_EXTENSIONS"):
        require_c_parser()


async def test_version_of_aiohttp_without_one_of_our_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on without all of them, and decompress."""
    monkeypatch.setattr(web, "Server", functools.partial(web.Server, unknown=1))

    with pytest.raises(RefusedError, match="would go on without all of them"):
        async with serving():
            pass


LARGE = BODY + b" " * 6000


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", False),
        (WEBHOOK, True),
        (WEBHOOK * 3, True),
        (WEBHOOK[:-5], False),
        (WEBHOOK[:-5], True),
        (WEBHOOK[:20], True),
        (CHUNKED + b"x\r\n", True),
        (b"\x00\r\n\r\n", True),
        (head("Content-Length: 0", path="/"), True),
    ],
)
async def test_closed_connection_is_freed_without_garbage_collection(sent: bytes, answered: bool) -> None:
    async def freed() -> bool:
        return not any(isinstance(thing, Guard) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        async with serving(request_timeout_seconds=0.1, head_seconds=0.1) as server:
            async with raw_connection(server) as connection:
                await connection.send(sent)
                if answered:
                    await connection.answer()
            await until(freed, seconds=10)
    finally:
        gc.enable()


async def test_slowest_sender_gives_way_to_others() -> None:
    async with serving(max_bytes=6000) as server, raw_connection(server) as slow, raw_connection(server) as good:
        await slow.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE[:-1])
        await until(lambda: in_flight(server), seconds=5)
        await good.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE)

        assert (await good.answer()).status == 202
        refused = await slow.answer()
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert await slow.closed()
        assert server.counted("ringover_http_displaced_total", wanted="bytes") == 1


async def test_sender_that_timed_out_is_answered_though_others_need_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()
    refusals = [False]  # the loop has no room when the slow one has timed out

    async def wait(_work: int) -> None:
        await released.wait()

    async def timed_out() -> bool:
        return not refusals

    async with (
        serving(max_bytes=9000, request_timeout_seconds=0.2) as server,
        raw_connection(server) as slow,
        raw_connection(server) as slower,
        raw_connection(server) as good,
    ):
        budget = server.exchanges._budget
        monkeypatch.setattr(budget, "take", lambda _work: refusals.pop() if refusals else True)
        monkeypatch.setattr(budget, "wait", wait)
        await slow.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE[:-1])
        await until(timed_out, seconds=5)
        held = server.counted("ringover_http_buffered_bytes")
        await slower.send(head("X: " + "x" * 7000)[:-4])

        async def both_hold() -> bool:
            return server.counted("ringover_http_buffered_bytes") > held

        await until(both_hold, seconds=5)
        await good.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE)

        assert (await good.answer()).status == 202
        assert_problem(await slower.answer(), 503, "overloaded")
        released.set()
        assert_problem(await slow.answer(), 408, "request_timeout")


async def test_body_beyond_the_room_is_503_and_small_ones_go_on() -> None:
    async with serving(max_bytes=4000) as server, raw_connection(server) as one, raw_connection(server) as two:
        server.publisher.hold()
        await one.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE)
        await until(lambda: publishing(server), seconds=5)
        await two.send(signed_head(LARGE, f"Content-Length: {len(LARGE)}") + LARGE)
        assert_problem(await two.answer(), 503, "overloaded")

        async with raw_connection(server) as small:
            await small.send(WEBHOOK)
            server.publisher.release()
            assert (await small.answer()).status == 202
        assert (await one.answer()).status == 202
        assert server.counted("ringover_http_buffered_bytes") == 0


async def publishing(server: Serving) -> bool:
    return server.publisher.waiting == 1


async def test_connection_that_waits_longest_gives_way_to_a_new_one() -> None:
    async with serving(max_connections=1) as server, raw_connection(server) as idle, raw_connection(server) as good:
        await good.send(WEBHOOK)

        assert (await good.answer()).status == 202
        assert await idle.closed()


async def test_slow_senders_take_no_slot_from_others() -> None:
    async with serving(max_in_flight=1) as server, raw_connection(server) as slow, raw_connection(server) as good:
        await slow.send(WEBHOOK[:-5])
        await until(lambda: in_flight(server), seconds=5)
        await good.send(WEBHOOK)

        assert (await good.answer()).status == 202


async def test_head_and_body_have_one_deadline() -> None:
    async with serving(request_timeout_seconds=0.6) as server, raw_connection(server) as connection:
        began = time.monotonic()
        await connection.send(WEBHOOK[:20])
        await asyncio.sleep(0.4)
        await connection.send(WEBHOOK[20:-5])

        assert_problem(await connection.answer(), 408, "request_timeout")
        assert time.monotonic() - began < 0.95


async def test_thousands_of_pipelined_requests_are_answered_in_order() -> None:
    count = 3000
    async with serving() as server, raw_connection(server) as connection:
        wanted = [str(uuid.UUID(int=number)) for number in range(count)]
        requests = [head("Content-Length: 0", f"X-Request-Id: {name}", path="/") for name in wanted]
        writing = asyncio.create_task(connection.send(b"".join(requests)))
        answers = [await connection.answer() for _ in wanted]
        await writing
        assert [answer.json["request_id"] for answer in answers] == wanted
        assert server.nothing_stored


@pytest.mark.parametrize("reset", [pytest.param(False, id="ended"), pytest.param(True, id="reset")])
async def test_many_that_leave_in_one_moment_are_let_go_of_in_turns(
    monkeypatch: pytest.MonkeyPatch, *, reset: bool
) -> None:
    monkeypatch.setattr(ingress_server, "ENDINGS_PER_ITERATION", 5)
    let_go = 0
    forget = Guard._let_go

    def counting(connection: Guard, exc: Exception | None) -> None:
        nonlocal let_go
        let_go += 1
        forget(connection, exc)

    monkeypatch.setattr(Guard, "_let_go", counting)
    async with serving() as server:
        peers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]

        async def all_are_open() -> bool:
            return server.counted("ringover_http_connections") == 40

        await until(all_are_open)
        for peer in peers:
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        in_one_turn = []
        async with asyncio.timeout(10):
            while let_go < 40:
                before = let_go
                await asyncio.sleep(0)
                in_one_turn.append(let_go - before)

        assert max(in_one_turn) <= 5
        assert server.counted("ringover_http_connections") == 0
