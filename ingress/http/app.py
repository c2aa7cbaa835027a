"""The public HTTP server: opened with its limits, closed by draining."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from ingress.handler import WebhookHandler
from ingress.http import shared_port
from ingress.http.admission import Capacity
from ingress.http.server import Server
from runtime.admin import listen
from runtime.logs import logger

# After an answer that leaves a body unread: read it for so long, so that the answer is not lost in a reset.
LINGERING_SECONDS = 2.0
# After draining, for connections to close; nothing is in flight any more then, or the drain ran out of time.
CLOSE_SECONDS = 1.0
# Connections that the kernel completes before we take them; all of these may be taken in one turn of the loop.
BACKLOG = 512

log = logger(__name__)


@asynccontextmanager
async def webhook_server(
    handler: WebhookHandler,
    capacity: Capacity,
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
        capacity=capacity,
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
