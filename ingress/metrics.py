"""Names every metric of the ingress. Labels come from enums and settings: never a call id or a phone number.

Label values that are known have a series from the start: `increase()` cannot see the first event of a new one.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

from runtime import fast_metrics
from runtime.metrics import FAST_BUCKETS, ProcessMetrics


class IngressMetrics(ProcessMetrics):
    """Holds the metrics of the ingress."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        #: Answers by endpoint slug (or `other`) and status code.
        self.requests = fast_metrics.Counter(
            "ringover_http_requests", "Requests answered", ["endpoint", "code"], registry=registry
        )
        #: From the request's head read to the answer, by endpoint slug and class of the status: 2xx, 4xx, 5xx.
        self.duration = fast_metrics.Histogram(
            "ringover_http_request_duration_seconds",
            "Time to answer",
            ["endpoint", "class"],
            buckets=FAST_BUCKETS,
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
        self.evicted = Counter("ringover_http_displaced", "Connections that gave way", ["wanted"], registry=registry)
        for wanted in ("connection", "bytes"):
            self.evicted.labels(wanted)
        #: New connections closed at once: at the limit, and none could give way.
        self.connections_refused = Counter(
            "ringover_http_connections_refused", "Connections refused", registry=registry
        )
        #: Refused requests by problem code.
        self.refused = Counter("ringover_webhook_refused", "Webhooks refused", ["code"], registry=registry)
        #: Authenticated webhooks by the id of the secret or token that matched: tells when an old one can go. The ids
        #: are those of the settings, so there are few.
        self.authenticated = fast_metrics.Counter(
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
        self.publish = fast_metrics.Histogram(
            "ringover_publish_duration_seconds", "Time to a durable record", buckets=FAST_BUCKETS, registry=registry
        )
        #: Records that were not acknowledged in time or failed.
        self.publish_failures = Counter("ringover_publish_failures", "Records not acknowledged", registry=registry)
        #: Producers replaced after an error.
        self.producer_replaced = Counter("ringover_producer_replaced", "Producers replaced", registry=registry)


class SpoolMetrics:
    """Holds the metrics of the spool; absent when there is none."""

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
        self.quarantined = Counter("ringover_spool_set_aside", "Spool files set aside", registry=registry)
        #: 1 while the spool would take a record: it has room, and its disk works.
        self.usable = Gauge("ringover_spool_usable", "Whether the spool takes records", registry=registry)
        #: As many bytes it takes at most (INGRESS_SPOOL_MAX_BYTES).
        self.max_bytes = Gauge("ringover_spool_max_bytes", "Bytes that the spool takes at most", registry=registry)
