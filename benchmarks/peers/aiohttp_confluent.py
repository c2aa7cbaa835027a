"""Takes webhooks by aiohttp and confluent-kafka: its thread's acknowledgements wake the loop once for many of them."""

import asyncio
import threading
from collections.abc import AsyncIterator

import uvloop
from aiohttp import web
from confluent_kafka import KafkaError, KafkaException, Producer

from benchmarks.peers.webhooks import BOOTSTRAP_SERVERS, HOST, PATH, PORT, SIGNATURE, TOPIC, is_signed, key_of

LINGER_MS = 1  # the fastest of 0, 1, 2 and 5 on the machine of docs/performance.md

Acknowledged = tuple["asyncio.Future[None]", KafkaError | None]


class Publisher:
    """Makes a future for each message, resolved on the loop by a thread that polls librdkafka."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(
            {
                "bootstrap.servers": BOOTSTRAP_SERVERS,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": LINGER_MS,
            }
        )
        self._acknowledged: list[Acknowledged] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    async def publish(self, key: bytes, body: bytes) -> None:
        """Return once the broker has acknowledged it; raises KafkaException."""
        future = self._loop.create_future()
        self._producer.produce(
            TOPIC, body, key, on_delivery=lambda error, _message: self._acknowledged.append((future, error))
        )
        await future

    def close(self) -> None:
        """Flush."""
        self._producer.flush(10)
        self._stopping = True
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopping:
            self._producer.poll(0.1)
            if self._acknowledged:
                done, self._acknowledged = self._acknowledged, []
                self._loop.call_soon_threadsafe(_resolve, done)


def _resolve(done: list[Acknowledged]) -> None:
    for future, error in done:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(error))


PUBLISHER = web.AppKey("publisher", Publisher)


async def take(request: web.Request) -> web.Response:
    """202 once the broker has acknowledged the body."""
    body = await request.read()
    if not is_signed(body, request.headers.get(SIGNATURE, "")):
        return web.Response(status=401)
    try:
        key = key_of(body)
    except (ValueError, KeyError, TypeError):
        return web.Response(status=400)
    await request.app[PUBLISHER].publish(key, body)
    return web.Response(status=202)


async def producing(app: web.Application) -> AsyncIterator[None]:
    """Keep a producer, started before the first request and flushed after the last."""
    app[PUBLISHER] = Publisher()
    yield
    app[PUBLISHER].close()


def main() -> None:
    """Serve until SIGTERM."""
    uvloop.install()
    app = web.Application()
    app.router.add_post(PATH, take)
    app.cleanup_ctx.append(producing)
    web.run_app(app, host=HOST, port=PORT, access_log=None, print=None)


if __name__ == "__main__":
    main()
