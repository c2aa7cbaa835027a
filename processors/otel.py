"""Makes the spans of a processed record when its batch is committed. Imported only where traces are wanted."""

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Tracer, set_span_in_context

from processors.model import Batch
from processors.trace_selection import TracedRecord
from runtime.otel import context_of, span_context_of

_POSTGRESQL = {"db.system.name": "postgresql"}


class BatchTracer:
    """Makes spans for the traced records of one group's batches."""

    def __init__(self, tracer: Tracer, *, topic: str, group: str) -> None:
        self._tracer = tracer
        self._name = f"process {topic}"
        self._fixed = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }

    def committed(self, batch: Batch, records: Sequence[TracedRecord]) -> None:
        for record in records:
            self._record(batch, record)

    def _record(self, batch: Batch, record: TracedRecord) -> None:
        # A trace of days ago is finished: a pass again is a trace of its own, linked to it.
        context = Context() if record.again else context_of(record.traceparent)
        links = [Link(span_context_of(record.traceparent))] if record.again else []
        steps = batch.steps
        process = self._tracer.start_span(self._name, context, SpanKind.CONSUMER, links=links, start_time=steps.fetched)
        if not process.get_span_context().trace_flags.sampled:
            return
        process.set_attributes({**self._fixed, **_attributes(batch, record)})
        inside = set_span_in_context(process, context)
        claim = self._tracer.start_span("claim", inside, SpanKind.CLIENT, _POSTGRESQL, start_time=steps.claiming)
        claim.end(steps.claimed)
        # It writes the events of the whole batch, and no event carries its context: no producer's span.
        commit = self._tracer.start_span("commit", inside, SpanKind.INTERNAL, start_time=steps.committing)
        commit.end(steps.committed)
        process.end(steps.committed)


def _attributes(batch: Batch, record: TracedRecord) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {
        "messaging.destination.partition.id": str(batch.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.batch.message_count": len(batch.verdicts),
        "ringover.event_type": record.event_type,
        "ringover.outcome": record.outcome,
    }
    return found if record.code is None else found | {"ringover.code": record.code}
