"""Every metric, by name and meaning, in one typed place. Labels come from enums only: never an id, never a number.

Label values that are known have a series from the start: `increase()` cannot see the first event of a new one.
"""

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime import errors
from runtime import fast_metrics as tallies
from schemas.dead_letter import Code
from schemas.events import EventType

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)

DISTRIBUTION = "ringover-events"
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
    """The label of `ringover_retries_total` for this error."""
    return type(error).__name__ if isinstance(error, errors.PipelineError) else UNEXPECTED


def running_version() -> str:
    """The version of this program; `unknown` when it runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


class ProcessMetrics:
    """What both processes measure of themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        #: Worst delay of a timer on the event loop within the last second.
        self.loop_lag = Gauge("ringover_event_loop_lag_seconds", "Delay of the event loop", registry=registry)
        #: Times a timer on the event loop was more than 100 ms late, whatever took the time.
        self.loop_blocked = Counter("ringover_event_loop_blocked", "Delays over 100 ms", registry=registry)
        #: Worst delay of a timer since the start, by clock: `wall`, and `cpu`, which is the part that our own code took
        #: and not other processes on the machine.
        self.loop_worst = Gauge(
            "ringover_event_loop_worst_seconds", "Worst delay since the start", ["clock"], registry=registry
        )
        #: 1 when /readyz answers 200.
        self.ready = Gauge("ringover_ready", "Whether the process is ready", registry=registry)
        #: Partitions of each topic that the process uses and sees, by its name without prefix.
        self.topic_partitions = Gauge(
            "ringover_topic_partitions", "Partitions of a topic", ["topic"], registry=registry
        )
        #: Always 1; its label says what runs.
        self.build = Gauge("ringover_build_info", "The version that runs", ["version"], registry=registry)
        self.build.labels(running_version()).set(1)


class IngressMetrics(ProcessMetrics):
    """Metrics of the ingress."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        #: Answers by endpoint slug (or `other`) and status code.
        self.requests = tallies.Counter(
            "ringover_http_requests", "Requests answered", ["endpoint", "code"], registry=registry
        )
        #: From the request's head read to the answer, by endpoint slug and class of the status: 2xx, 4xx, 5xx.
        self.duration = tallies.Histogram(
            "ringover_http_request_duration_seconds",
            "Time to answer",
            ["endpoint", "class"],
            buckets=_FAST,
            registry=registry,
        )
        #: Requests being answered now.
        self.in_flight = Gauge("ringover_http_inflight", "Requests in flight", registry=registry)
        #: Open connections to the public port.
        self.connections = Gauge("ringover_http_connections", "Open connections", registry=registry)
        #: Bytes received of requests not yet answered, without the first 4 KiB of each connection.
        self.buffered_bytes = Gauge("ringover_http_buffered_bytes", "Bytes held for requests", registry=registry)
        #: Connections closed, or their half received requests answered 503, because others wanted the room: of a
        #: `connection` or of `bytes`.
        self.displaced = Counter("ringover_http_displaced", "Connections that gave way", ["wanted"], registry=registry)
        for wanted in ("connection", "bytes"):
            self.displaced.labels(wanted)
        #: New connections closed at once: at the limit, and none could give way.
        self.connections_refused = Counter(
            "ringover_http_connections_refused", "Connections refused", registry=registry
        )
        #: Refused requests by problem code.
        self.refused = Counter("ringover_webhook_refused", "Webhooks refused", ["code"], registry=registry)
        #: Authenticated webhooks by the id of the secret or token that matched: tells when an old one can go. The ids
        #: are those of the settings, so there are few.
        self.authenticated = tallies.Counter(
            "ringover_webhook_authenticated", "Webhooks by credential", ["key_id"], registry=registry
        )
        #: Credential files that changed, by result: `loaded`, or `refused` while the credentials before stay active.
        self.credentials_reloaded = Counter(
            "ringover_credentials_reloaded", "Changes of credential files", ["result"], registry=registry
        )
        #: Certificates that changed, by the same results.
        self.certificates_reloaded = Counter(
            "ringover_certificates_reloaded", "Changes of certificate files", ["result"], registry=registry
        )
        for result in ("loaded", "refused"):
            self.credentials_reloaded.labels(result)
            self.certificates_reloaded.labels(result)
        #: Webhooks stored in the dead-letter topic at once, by reason code.
        self.dead_letters = Counter(
            "ringover_ingress_dead_letters", "Dead letters stored by the ingress", ["code"], registry=registry
        )
        #: From handing a record to the client until the brokers' acknowledgement.
        self.publish = tallies.Histogram(
            "ringover_publish_duration_seconds", "Time to a durable record", buckets=_FAST, registry=registry
        )
        #: Records that were not acknowledged in time or failed.
        self.publish_failures = Counter("ringover_publish_failures", "Records not acknowledged", registry=registry)
        #: Producers replaced after an error.
        self.producer_replaced = Counter("ringover_producer_replaced", "Producers replaced", registry=registry)


class SpoolMetrics:
    """Metrics of the ingress's spool; absent when there is none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: Records that wait for Kafka on the local disk.
        self.records = Gauge("ringover_spool_records", "Records in the spool", registry=registry)
        #: Their keys, values and headers.
        self.bytes = Gauge("ringover_spool_bytes", "Bytes in the spool", registry=registry)
        #: How long the oldest of them has waited; 0 when there is none.
        self.oldest_age = Gauge("ringover_spool_oldest_age_seconds", "Age of the oldest record", registry=registry)
        #: Records written to the spool.
        self.spooled = Counter("ringover_spool_spooled", "Records spooled", registry=registry)
        #: Records that Kafka took from the spool.
        self.drained = Counter("ringover_spool_drained", "Records drained", registry=registry)
        #: Files that were set aside because they were corrupt or read-only. Each one needs an operator.
        self.set_aside = Counter("ringover_spool_set_aside", "Spool files set aside", registry=registry)
        #: 1 while the spool would take a record: it has room, and its disk works.
        self.usable = Gauge("ringover_spool_usable", "Whether the spool takes records", registry=registry)
        #: As many bytes it takes at most (INGRESS_SPOOL_MAX_BYTES).
        self.max_bytes = Gauge("ringover_spool_max_bytes", "Bytes that the spool takes at most", registry=registry)


class ProcessorMetrics(ProcessMetrics):
    """Metrics of the processor."""

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
        self.end_to_end = tallies.Histogram(
            "ringover_end_to_end_seconds", "Received to committed", ["type"], buckets=_SLOW, registry=registry
        )
        for event_type in EventType:
            self.end_to_end.labels(event_type.value)
            for outcome in OUTCOMES:
                self.events.labels(event_type.value, outcome)
        #: One claim statement.
        self.claim = Histogram("ringover_claim_duration_seconds", "Time to claim", buckets=_FAST, registry=registry)
        #: One Kafka transaction, from begin to committed.
        self.commit = Histogram("ringover_commit_duration_seconds", "Time to commit", buckets=_FAST, registry=registry)
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
