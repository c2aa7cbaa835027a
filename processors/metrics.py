"""Names every metric of the processor. Labels come from enums: never a call id or a phone number.

Label values that are known have a series from the start: `increase()` cannot see the first event of a new one.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime import errors, fast_metrics
from runtime.metrics import FAST_BUCKETS, ProcessMetrics
from schemas.dead_letter import Code
from schemas.events import EventType

_SLOW_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)

#: What becomes of a raw record that has an event type; a dead letter has none, and counts as `unknown`.
OUTCOMES = ("emitted", "duplicate", "conflict")
#: The cause of a retry after an error that is none of ours.
UNEXPECTED = "unexpected"
#: Why the processor tries a step again: PostgreSQL was away in the middle of a batch, or by the name of the error.
RETRY_CAUSES = (
    "state",
    UNEXPECTED,
    *(
        error.__name__
        for error in (
            errors.StateUnavailableError,
            errors.StateBehindError,
            errors.LogUnavailableError,
            errors.OpenTransactionError,
            errors.PublishError,
            errors.FencedError,
            errors.RefusedError,
        )
    ),
)


def retry_cause(error: BaseException) -> str:
    """Label this error for `ringover_retries_total`."""
    return type(error).__name__ if isinstance(error, errors.PipelineError) else UNEXPECTED


class ProcessorMetrics(ProcessMetrics):
    """Holds the metrics of the processor."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        #: Raw records by event type (or `unknown`) and outcome: emitted, duplicate, conflict, dead_letter.
        self.events = Counter("ringover_events", "Raw records processed", ["type", "outcome"], registry=registry)
        self.events.labels("unknown", "dead_letter")
        #: Dead letters by reason code.
        self.dead_letters = Counter(
            "ringover_dead_letters", "Dead letters stored by the processor", ["code"], registry=registry
        )
        for code in Code:
            self.dead_letters.labels(code.value)
        #: From the ingress's clock at reception to the committed event, by event type.
        self.end_to_end = fast_metrics.Histogram(
            "ringover_end_to_end_seconds", "Received to committed", ["type"], buckets=_SLOW_BUCKETS, registry=registry
        )
        for event_type in EventType:
            self.end_to_end.labels(event_type.value)
            for outcome in OUTCOMES:
                self.events.labels(event_type.value, outcome)
        #: One claim statement.
        self.claim = Histogram(
            "ringover_claim_duration_seconds", "Time to claim", buckets=FAST_BUCKETS, registry=registry
        )
        #: One Kafka transaction, from begin to committed.
        self.commit = Histogram(
            "ringover_commit_duration_seconds", "Time to commit", buckets=FAST_BUCKETS, registry=registry
        )
        #: Records in one batch.
        self.batch = Histogram(
            "ringover_batch_records", "Records in a batch", buckets=(1, 10, 50, 100, 500, 1000, 5000), registry=registry
        )
        #: Partitions taken over.
        self.takeovers = Counter("ringover_takeovers", "Partitions taken over", registry=registry)
        #: Records claimed again because PostgreSQL had lost their claims.
        self.healed = Counter("ringover_healed_records", "Records re-claimed in healing", registry=registry)
        #: Times another process took a partition from under us.
        self.fenced = Counter("ringover_fenced", "Producers fenced", registry=registry)
        #: Steps tried again, by the error before: Kafka or PostgreSQL was away, a partition refuses, or `unexpected`.
        self.retries = Counter("ringover_retries", "Steps tried again", ["cause"], registry=registry)
        for cause in RETRY_CAUSES:
            self.retries.labels(cause)
        #: 1 while the state table answers.
        self.state_available = Gauge("ringover_state_available", "Whether PostgreSQL takes a write", registry=registry)
        #: 1 while the brokers answer.
        self.kafka_available = Gauge("ringover_kafka_available", "Whether Kafka answers", registry=registry)
        #: 1 while operators have paused the group.
        self.paused = Gauge("ringover_paused", "Whether the group is paused", registry=registry)
        #: Pauses seen: one for a rewind may begin and end between two scrapes.
        self.pauses = Counter("ringover_pauses", "Pauses of the group", registry=registry)
        #: Partitions owned now.
        self.partitions = Gauge("ringover_partitions", "Partitions owned", registry=registry)
        #: 1 for a partition that does not get on, by kind: it `waits` for a server, `refused` or met the `unexpected`.
        self.partition_problem = Gauge(
            "ringover_partition_problem", "Partitions that stand still", ["partition", "kind"], registry=registry
        )
        #: Raw records not yet processed, by partition; missing while that is not known.
        self.lag = Gauge("ringover_consumer_lag", "Lag in records", ["partition"], registry=registry)
        #: Age of the oldest raw record not yet processed, by partition; of one that cannot be read, the time since it
        #: was first seen to wait.
        self.lag_seconds = Gauge("ringover_consumer_lag_seconds", "Lag in seconds", ["partition"], registry=registry)
