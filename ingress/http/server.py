"""Serves webhooks over HTTP: opens the public port with its limits, and closes it by draining."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import http_parser, web

from ingress.handler import WebhookHandler
from ingress.http import shared_port
from ingress.http.admission import Admission
from ingress.http.answering import AnswerUnreadable, Handler
from ingress.http.loop_budget import LoopBudget
from ingress.http.protocol import Connection
from runtime.admin import listen
from runtime.errors import RefusedError
from runtime.logs import logger

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


class Server(web.Server):
    """Makes the connections, which share what they may do per iteration of the event loop."""

    def __init__(
        self, handler: Handler, *, answer_unreadable: AnswerUnreadable, admission: Admission, **options: Any
    ) -> None:
        super().__init__(handler)  # type: ignore[arg-type]  # only our connections call it
        self._options = {
            "handler": handler,
            "answer_unreadable": answer_unreadable,
            "arrivals": LoopBudget(ARRIVALS_PER_ITERATION),
            "endings": LoopBudget(ENDINGS_PER_ITERATION),
            "admission": admission,
            **options,
        }

    def __call__(self) -> Connection:
        """Make a connection; asyncio calls this for each one that it accepts."""
        return Connection(self, loop=self._loop, **self._options)


@asynccontextmanager
async def webhook_server(
    handler: WebhookHandler,
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
    """
    server = Server(
        handler.answer,
        answer_unreadable=handler.unreadable,
        admission=admission,
        head_seconds=head_seconds,
        keepalive_timeout=keepalive_seconds,
        lingering_seconds=LINGERING_SECONDS,
    )
    runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        shared = shared_port.listening(host, port, backlog=BACKLOG) if shares_port else []
        for listener in shared:
            await web.SockSite(runner, listener, ssl_context=tls, backlog=BACKLOG).start()
        if not shares_port:
            await listen(runner, host, port, tls=tls, backlog=BACKLOG)
        yield int(runner.addresses[0][1])
        handler.leave()
        if shared:
            await shared_port.leave(shared)
            await _accept_no_more(runner)
        if leave_seconds:
            await asyncio.sleep(leave_seconds)
        await _drain(runner, handler, drain_seconds)
    finally:
        await runner.cleanup()


async def _drain(runner: web.ServerRunner, handler: WebhookHandler, seconds: float) -> None:
    """Stop accepting, then wait for what is in flight.

    aiohttp's own shutdown comes after this: it stops reading at once, so a body that is still arriving would be lost.
    """
    await _accept_no_more(runner)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await handler.drained()
            return
    log.warning("drain.incomplete", in_flight=handler.in_flight)


async def _accept_no_more(runner: web.ServerRunner) -> None:
    for site in runner.sites:
        await site.stop()
