"""A collector of traces: takes OTLP over HTTP from real programs, and reads it with the protocol's own types."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import until


@dataclass(frozen=True)
class Seen:
    """One span as the collector got it."""

    service: str
    instance: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    start: int
    end: int
    failed: bool
    attributes: dict[str, str | int]

    @property
    def traceparent(self) -> tuple[str, str]:
        """What a traceparent says that names this span."""
        return self.trace_id, self.span_id


@dataclass
class Collector:
    """Running on `url`; `environment` is that of programs that export to it, at once."""

    url: str
    spans: list[Seen] = field(default_factory=list)
    bytes_taken: bytes = b""

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def of(self, trace_id: str) -> list[Seen]:
        return [span for span in self.spans if span.trace_id == trace_id]

    async def named(self, *names: str, trace_id: str | None = None) -> dict[str, Seen]:
        """Wait until each name was seen (in that trace), and return the newest of each."""

        async def seen() -> dict[str, Seen]:
            found = {span.name: span for span in self.spans if trace_id in (None, span.trace_id)}
            return found if found.keys() >= set(names) else {}

        return await until(seen, what=f"spans {names}, of {sorted({span.name for span in self.spans})}")

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bytes_taken += body
        for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _attributes(of_process.resource.attributes)
            for of_scope in of_process.scope_spans:
                self.spans += [_seen(resource, span) for span in of_scope.spans]
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Collect until the context is left."""
    collector = Collector("")
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector._take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """The URL of a collector that takes connections and never answers."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in held:
            writer.close()
        server.close()


def _seen(resource: dict[str, str | int], span: Span) -> Seen:
    return Seen(
        service=str(resource["service.name"]),
        instance=str(resource["service.instance.id"]),
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, str | int]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> str | int:
    return value.int_value if value.HasField("int_value") else value.string_value
