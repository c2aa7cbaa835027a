"""Takes webhooks by aiohttp and aiokafka, straightforward: verify, find the key, `send_and_wait`, answer 202."""

from collections.abc import AsyncIterator

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer

from benchmarks.peers.webhooks import BOOTSTRAP_SERVERS, HOST, PATH, PORT, SIGNATURE, TOPIC, is_signed, key_of

PRODUCER = web.AppKey("producer", AIOKafkaProducer)


async def take(request: web.Request) -> web.Response:
    """202 once the broker has acknowledged the body."""
    body = await request.read()
    if not is_signed(body, request.headers.get(SIGNATURE, "")):
        return web.Response(status=401)
    try:
        key = key_of(body)
    except (ValueError, KeyError, TypeError):
        return web.Response(status=400)
    await request.app[PRODUCER].send_and_wait(TOPIC, body, key=key)
    return web.Response(status=202)


async def producing(app: web.Application) -> AsyncIterator[None]:
    """Keep a producer, started before the first request and flushed after the last."""
    app[PRODUCER] = AIOKafkaProducer(
        bootstrap_servers=BOOTSTRAP_SERVERS, acks="all", enable_idempotence=True, max_batch_size=131_072
    )
    await app[PRODUCER].start()
    yield
    await app[PRODUCER].stop()


def main() -> None:
    """Serve until SIGTERM."""
    uvloop.install()
    app = web.Application()
    app.router.add_post(PATH, take)
    app.cleanup_ctx.append(producing)
    web.run_app(app, host=HOST, port=PORT, access_log=None, print=None)


if __name__ == "__main__":
    main()
