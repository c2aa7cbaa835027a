"""Exports spans by OpenTelemetry's SDK, and continues traces. Imported only where traces are wanted.

Spans are exported by a thread of the SDK's, from a queue that drops what it has no room for: a collector that is slow
or away holds up nothing.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from runtime.errors import RefusedError
from runtime.logs import logger

FLUSH_SECONDS = 2.0  # at the end, for spans not yet exported
SCOPE = "ringover-events"

log = logger(__name__)


class StatefulExporter(SpanExporter):
    """Says once that the collector does not take spans, and once that it does again.

    The SDK's own lines, several for each batch, are left out (`runtime.logs`).
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by the SDK's thread, with one batch at a time."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed:
            self._lost += len(spans)
        if failed and not self._failing:
            log.warning("traces.unavailable", reason="the collector takes no spans; they are dropped")
        elif self._failing and not failed:
            log.info("traces.available", lost=self._lost)
            self._lost = 0
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


@asynccontextmanager
async def exporting(service: str) -> AsyncIterator[Tracer]:
    """Give a tracer whose spans are exported until the context is left, and then for FLUSH_SECONDS at most.

    Raises:
        RefusedError: the SDK cannot work with its variables.
    """
    try:
        exporter = StatefulExporter(OTLPSpanExporter())
        provider = TracerProvider(resource=resource_of(service), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:
        raise RefusedError(f"OpenTelemetry refuses its OTEL_* variables: {error}") from error
    log.info("traces.exported", sampler=provider.sampler.get_description())
    try:
        yield provider.get_tracer(SCOPE)
    finally:
        await _flush(provider, exporter)


def resource_of(service: str) -> Resource:
    """Describe this process as the environment does; its name is `service` unless that says another."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME)).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: service}))
    return found


async def _flush(provider: TracerProvider, exporter: SpanExporter) -> None:
    """Export what waits. Of the SDK's own waits for the collector, only a daemon thread sees the end."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="traces-flush", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # ends its waits between attempts
        log.warning("traces.not_flushed", reason=f"the collector did not take them in {FLUSH_SECONDS:g} s")


def context_of(traceparent: str | None) -> Context:
    """Make the context of the remote parent that a valid traceparent names; without one, that of a new trace."""
    return Context() if traceparent is None else set_span_in_context(_remote(traceparent), Context())


def span_context_of(traceparent: str) -> SpanContext:
    """Make the context of the span that a valid traceparent names."""
    return _remote(traceparent).get_span_context()


def traceparent_of(span: Span) -> str:
    """Write the header by which a trace goes on below `span`."""
    context = span.get_span_context()
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"


def _remote(traceparent: str) -> Span:
    _, trace_id, span_id, flags = traceparent.split("-")
    return NonRecordingSpan(
        SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    )
