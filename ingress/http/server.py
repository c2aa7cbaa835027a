"""Serves webhooks over HTTP: opens the public port with its limits, and closes it by draining."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiohttp import http_parser, web
from aiohttp.http import HttpProcessingError

from ingress.http import shared_port
from ingress.http.admission import Admission
from ingress.http.exchanges import Exchanges
from ingress.http.guard import ConnectionLimits, Guard
from ingress.http.loop_budget import LoopBudget
from runtime.admin import cannot_listen
from runtime.deadlines import Deadlines
from runtime.errors import RefusedError
from runtime.failures import report
from runtime.logs import logger

# Bounds of what aiohttp keeps of one connection, beside the bytes that `Admission` counts.
MAX_HEAD_LINE_BYTES = 8190  # of the request line, and of each header; beyond it: 400
MAX_HEADERS = 64  # 25 KB of objects; proxies bring a webhook to about 30
READ_BYTES = 64 * 1024  # of a body unread by us: reading pauses at twice as many
# After an answer that leaves a body unread: read it for so long, so that the answer is not lost in a reset.
LINGERING_SECONDS = 2.0
# After draining, for connections to close; nothing is in flight any more then, or the drain ran out of time.
CLOSE_SECONDS = 1.0
# Connections that the kernel completes before we take them; all of these may be taken in one iteration of the loop.
BACKLOG = 512
# Pieces of data parsed per iteration of the event loop: 25 ms if each is a head of the largest kind.
ARRIVALS_PER_ITERATION = 128
ENDINGS_PER_ITERATION = 512  # connections let go of, as many as it may accept: 8 ms

log = logger(__name__)


def require_c_parser() -> None:
    """Refuse to run on aiohttp's Python parser, which is slow and had request-smuggling bugs of its own.

    Raises:
        RefusedError: the C extensions are missing or switched off.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RefusedError(
            "aiohttp runs without its C parser: unset AIOHTTP_NO_EXTENSIONS, or install a wheel of aiohttp for this"
            " platform"
        )


class ServerErrors(logging.Filter):
    """Reports what failed inside aiohttp; a request that it could not read is answered, counted and no more.

    An error's traceback is dropped: its frames hold the data and the error, a circle that nobody counts.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            if not isinstance(error, HttpProcessingError):
                report("connection.failed", error)
            error.__traceback__ = None
        return False


_ERRORS = logging.getLogger(f"{__name__}.aiohttp")
_ERRORS.addFilter(ServerErrors())
_ERRORS.setLevel(logging.DEBUG)  # the filter sees each


@asynccontextmanager
async def webhook_server(
    exchanges: Exchanges,
    admission: Admission,
    *,
    host: str,
    port: int,
    head_seconds: float,
    keepalive_seconds: float,
    drain_seconds: float,
    leave_seconds: float = 0.0,
    tls: ssl.SSLContext | None = None,
    shares_port: bool = False,
) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port. Leaving it finishes what is in flight.

    For `leave_seconds` before that, senders are still answered, and their connections closed with the answers. What is
    closed sooner may have a request on its way, and the kernel answers it with a reset.
    `shares_port`: see `ingress.http.shared_port`.

    Raises:
        AddressInUseError: the port is taken or the host is not ours.
        RefusedError: aiohttp does not know one of our options.
    """
    limits = ConnectionLimits(
        admission,
        arrivals=LoopBudget(ARRIVALS_PER_ITERATION),
        endings=LoopBudget(ENDINGS_PER_ITERATION),
        heads=Deadlines(head_seconds, Guard.head_is_late),
        refusal=exchanges.refusal,
    )
    server = _aiohttp_server(exchanges, keepalive_seconds)
    shared = shared_port.listening(host, port, backlog=BACKLOG) if shares_port else []
    listening = await _listening(lambda: Guard(server, limits), shared, host, port, tls)
    try:
        yield int(listening[0].sockets[0].getsockname()[1])
        exchanges.leave()
        if shared:
            await shared_port.leave(shared)
            _close(listening)
        if leave_seconds:
            await asyncio.sleep(leave_seconds)
        _close(listening)
        await _drain(exchanges, drain_seconds)
    finally:
        _close(listening)
        await server.shutdown(CLOSE_SECONDS)


def _aiohttp_server(exchanges: Exchanges, keepalive_seconds: float) -> web.Server:
    """Make aiohttp's server, with its limits.

    Raises:
        RefusedError: it does not know one of them, and would go on without all.
    """
    server = web.Server(
        exchanges.answer,
        logger=_ERRORS,
        access_log=None,
        keepalive_timeout=keepalive_seconds,
        lingering_time=LINGERING_SECONDS,
        auto_decompress=False,
        max_line_size=MAX_HEAD_LINE_BYTES,
        max_field_size=MAX_HEAD_LINE_BYTES,
        max_headers=MAX_HEADERS,
        read_bufsize=READ_BYTES,
    )
    if server().keepalive_timeout != keepalive_seconds:
        raise RefusedError(
            "this version of aiohttp does not know one of our limits, and would go on without all of them"
        )
    return server


async def _listening(
    factory: Callable[[], Guard], shared: Sequence[socket.socket], host: str, port: int, tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    """Listen on the shared sockets, or else on each address of the host."""
    loop = asyncio.get_running_loop()
    if shared:
        return [await loop.create_server(factory, sock=one, ssl=tls, backlog=BACKLOG) for one in shared]
    try:
        return [await loop.create_server(factory, host, port, ssl=tls, backlog=BACKLOG)]
    except OSError as error:
        raise cannot_listen(host, port, error) from error


def _close(listening: Sequence[asyncio.Server]) -> None:
    """Accept no more; those that are closed already stay so."""
    for one in listening:
        one.close()


async def _drain(exchanges: Exchanges, seconds: float) -> None:
    """Wait for what is in flight.

    aiohttp's own shutdown comes after this: it stops reading at once, so a body that is still arriving would be lost.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await exchanges.drained()
            return
    log.warning("drain.incomplete", in_flight=exchanges.in_flight)
