"""A real server on a loopback port with the in-memory publisher behind it."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from ingress.authenticate import Credential
from ingress.dialects.specification import Authenticator
from ingress.handler import WebhookHandler
from ingress.http.admission import Admission
from ingress.http.exchanges import Exchanges, RequestLimits
from ingress.http.server import webhook_server
from ingress.metrics import IngressMetrics
from ingress.ports import Tracer
from schemas.topics import TopicNames
from tests.unit.ingress.publishers import MemoryPublisher, Stored

SECRET = b"a secret of the tests"
TOKEN = "a-token-of-the-tests"
TOPICS = TopicNames("test.")
STARTED_PATH = "/wh/ringover/call-started"
STARTED = {
    "event": "call.started",
    "timestamp": "2026-01-02T15:00:00.000Z",
    "call": {"id": "ro_call_123", "direction": "inbound", "from": "+33601020304", "to": "+33189000000"},
}
BODY = json.dumps(STARTED).encode()


def signature(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def signed(body: bytes = BODY, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Ringover-Signature": signature(body), **(more or {})}


@dataclass
class Serving:
    """The running server: where it is, what it stored, what it counted."""

    port: int
    publisher: MemoryPublisher
    exchanges: Exchanges
    registry: CollectorRegistry
    metrics: IngressMetrics

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def raw(self) -> list[Stored]:
        return self.publisher.stored[TOPICS.raw]

    @property
    def dead_letters(self) -> list[Stored]:
        return self.publisher.stored[TOPICS.dead_letter]

    @property
    def nothing_stored(self) -> bool:
        return not self.raw and not self.dead_letters

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(*, tracer: Tracer | None = None, **overrides: Any) -> AsyncIterator[Serving]:
    """Serve with short limits, each of which a test may change."""
    limits: dict[str, Any] = {"max_body_bytes": 10_000, "request_timeout_seconds": 5.0, "max_in_flight": 100}
    options: dict[str, Any] = {"head_seconds": 5.0, "keepalive_seconds": 30.0, "drain_seconds": 5.0, "tls": None}
    options |= {"leave_seconds": 0.0, "shares_port": False}
    room = {"max_connections": 1000, "max_bytes": 10_000_000}
    room |= {name: value for name, value in overrides.items() if name in room}
    limits |= {name: value for name, value in overrides.items() if name in limits}
    options |= {name: value for name, value in overrides.items() if name in options}
    registry = CollectorRegistry()
    metrics = IngressMetrics(registry)
    publisher = MemoryPublisher([TOPICS.raw, TOPICS.dead_letter])
    handler = WebhookHandler(
        authenticator=Authenticator(
            secrets=[Credential("key-1", SECRET)], tokens=[Credential("token-1", TOKEN.encode())]
        ),
        publisher=publisher,
        topics=TOPICS,
        max_in_flight=limits["max_in_flight"],
        tracer=tracer,
    )
    exchanges = Exchanges(
        handler,
        limits=RequestLimits(limits["max_body_bytes"], limits["request_timeout_seconds"]),
        metrics=metrics,
    )
    admission = Admission(**room, metrics=metrics)
    async with webhook_server(exchanges, admission, host="127.0.0.1", port=0, **options) as port:
        yield Serving(port, publisher, exchanges, registry, metrics)


@dataclass
class Answer:
    """One HTTP answer read from a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """A raw connection: bytes as written, answers as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            return Answer(int(lines[0].split()[1]), headers, body)

    async def closed(self) -> bool:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


@asynccontextmanager
async def raw_connection(server: Serving) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def head(*lines: str, path: str = STARTED_PATH) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode("utf-8", "surrogateescape")


def signed_head(body: bytes, *lines: str) -> bytes:
    return head(*(f"{name}: {value}" for name, value in signed(body).items()), *lines)
