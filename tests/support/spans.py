"""A tracer whose spans are kept in the process, by the SDK's own exporter for that."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import SpanContext, Tracer, format_span_id, format_trace_id


class Spans:
    """`tracer` makes them, `ended` has them in the order of their ends."""

    def __init__(self, sampler: Sampler = DEFAULT_ON) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("tests")

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.ended if span.name == name]
        return span


def ids(context: SpanContext | None) -> tuple[str, str]:
    """Trace id and span id, in hex."""
    assert context is not None
    return format_trace_id(context.trace_id), format_span_id(context.span_id)
