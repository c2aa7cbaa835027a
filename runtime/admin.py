"""Serves a process's admin port (/livez, /readyz, /metrics), which is never exposed with the public one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from runtime.errors import PipelineError

#: Answers what is wrong, in words for an operator, or None when nothing is.
Check = Callable[[], str | None]


class AddressInUseError(PipelineError):
    """A port that this process must listen on is taken."""


@asynccontextmanager
async def admin_server(
    host: str,
    port: int,
    *,
    live: Check,
    ready: Check,
    registry: CollectorRegistry,
    note: Check = lambda: None,
) -> AsyncIterator[None]:
    """Serve the three endpoints while the context is open; a ready process says what `note` says.

    Raises:
        AddressInUseError: the port is taken or the host is not ours.
    """

    async def livez(_request: web.Request) -> web.Response:
        return _answer(live())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(ready(), note())

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        yield
    finally:
        await runner.cleanup()


def cannot_listen(host: str, port: int, error: OSError) -> AddressInUseError:
    """Say in one way why a listening socket could not be opened."""
    return AddressInUseError(f"cannot listen on {host}:{port}: {error.strerror or error}")


def _answer(problem: str | None, note: str | None = None) -> web.Response:
    """503 with the problem, or 200 with the note."""
    if problem is not None:
        return web.Response(text=problem + "\n", status=503)
    return web.Response(text="ok\n" if note is None else f"ok, but {note}\n")
