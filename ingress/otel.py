"""Makes the spans of a webhook: its request, and in it the publication. Imported only where traces are wanted.

Nothing that a sender wrote is in them: no body, key, header, path or id of its making.
"""

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context

from runtime.otel import context_of, traceparent_of
from schemas.events import ENDPOINTS, PATH_PREFIX

_ROUTES = {slug: PATH_PREFIX + slug for slug in ENDPOINTS}
_NAMES = {slug: f"POST {route}" for slug, route in _ROUTES.items()}


class WebhookTrace:
    """Holds both spans of one webhook."""

    __slots__ = ("_publish", "_request", "trace_id", "traceparent")

    def __init__(self, request: Span, publish: Span) -> None:
        self._request = request
        self._publish = publish
        self.trace_id = format_trace_id(request.get_span_context().trace_id)
        self.traceparent = traceparent_of(publish)

    def ended(self, status: int | None, code: str) -> None:
        """End both: what follows the publication takes microseconds."""
        self._request.set_attribute("ringover.code", code)
        if status is not None:
            self._request.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            for span in (self._publish, self._request):
                span.set_attribute("error.type", code)
                span.set_status(StatusCode.ERROR)
        self._publish.end()
        self._request.end()


class WebhookTracer:
    """Makes spans of webhooks that the sampler chooses."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(
        self, *, parent: str | None, began_ns: int, endpoint: str, key_id: str, topic: str, body_bytes: int
    ) -> WebhookTrace | None:
        """See the port. Attributes are those of OpenTelemetry's semantic conventions, ours begin with `ringover`."""
        request = self._tracer.start_span(
            _NAMES[endpoint], context_of(parent), SpanKind.SERVER, start_time=began_ns
        )  # the sampler's choice: nothing is made before it
        if not request.get_span_context().trace_flags.sampled:
            return None
        request.set_attributes(
            {
                "http.request.method": "POST",
                "http.route": _ROUTES[endpoint],
                "http.request.body.size": body_bytes,
                "ringover.key_id": key_id,
            }
        )
        publish = self._tracer.start_span(
            f"send {topic}",
            set_span_in_context(request),
            SpanKind.PRODUCER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "messaging.message.body.size": body_bytes,
            },
        )
        return WebhookTrace(request, publish)
