"""Answers 204 by aiohttp alone, once the body is read. No authentication, no Kafka: what the framework itself costs."""

import uvloop
from aiohttp import web

from benchmarks.peers.webhooks import HOST, PATH, PORT


async def take(request: web.Request) -> web.Response:
    """Read the body, and forget it."""
    await request.read()
    return web.Response(status=204)


def main() -> None:
    """Serve until SIGTERM."""
    uvloop.install()
    app = web.Application()
    app.router.add_post(PATH, take)
    web.run_app(app, host=HOST, port=PORT, access_log=None, print=None)


if __name__ == "__main__":
    main()
