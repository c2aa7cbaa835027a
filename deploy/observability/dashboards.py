"""The Grafana dashboards: `python -m deploy.observability.dashboards` writes them anew to grafana/dashboards.

Here a panel is a line or two, and a query can be read; in JSON it is fifty. A test fails when the files differ.
Rates are over `$__rate_interval`, so they fit any scrape interval and zoom.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).with_name("grafana") / "dashboards"
WIDTH = 24  # of Grafana's grid
HEIGHT = 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"

#: A query and what its series are called.
Query = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. `description` says what is normal, or what to do when it is not."""

    title: str
    unit: str
    queries: Sequence[Query]
    description: str = ""
    stacked: bool = False
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Rows of panels, each row as wide as the grid."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]


def rate(metric: str, *, by: str = "", where: str = "") -> str:
    """Per second, summed by a label or in all."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{where}[{RATE}]))"


def seen(metric: str, *, by: str) -> str:
    """As `rate`, without the series to which nothing happened."""
    return f"{rate(metric, by=by)} > 0"


def quantiles(histogram: str, *of: float, where: str = "") -> list[Query]:
    """Quantiles of a histogram, in all."""
    return [
        (f"histogram_quantile({q:g}, {rate(f'{histogram}_bucket', by='le', where=where)})", f"p{q * 100:g}")
        for q in of or (0.5, 0.99)
    ]


OURS = '{endpoint!="other"}'
JUDGED = '{endpoint!="other", class=~"2xx|5xx"}'

FLOW = Dashboard(
    "ringover-flow",
    "Ringover: from webhook to event",
    [
        (
            "Now",
            [
                Panel(
                    "Within 250 ms, 1 h",
                    "percentunit",
                    [("1 - ringover:ack_bad:rate1h / (ringover:ack_all:rate1h > 0)", "acknowledged")],
                    "Objective: 99.9 % (docs/slo.md).",
                    kind="stat",
                ),
                Panel(
                    "Events within 2 s, 1 h",
                    "percentunit",
                    [("1 - ringover:late_bad:rate1h / (ringover:late_all:rate1h > 0)", "in time")],
                    "Objective: 99 % (docs/slo.md). A rewind counts what it emits again as late.",
                    kind="stat",
                ),
                Panel("Worst lag", "s", [("max(ringover_consumer_lag_seconds)", "lag")], kind="stat"),
                Panel("In the spool", "short", [("sum(ringover_spool_records)", "records")], kind="stat"),
                Panel("Ready", "short", [("sum by (job) (ringover_ready)", "{{job}}")], kind="stat"),
                Panel("Firing", "short", [('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts")], kind="stat"),
            ],
        ),
        (
            "Webhooks in",
            [
                Panel(
                    "Answers by status",
                    "reqps",
                    [(rate("ringover_http_requests_total", by="code", where=OURS) + " > 0", "{{code}}")],
                    "To our endpoints; a flood to other paths is in Refused.",
                    stacked=True,
                ),
                Panel("Refused by reason", "reqps", [(seen("ringover_webhook_refused_total", by="code"), "{{code}}")]),
                Panel(
                    "By credential",
                    "reqps",
                    [(rate("ringover_webhook_authenticated_total", by="key_id"), "{{key_id}}")],
                ),
            ],
        ),
        (
            "How fast",
            [
                Panel(
                    "Time to answer",
                    "s",
                    quantiles("ringover_http_request_duration_seconds", 0.5, 0.99, 0.999, where=JUDGED),
                    "Of what the objective counts: 2xx and 5xx. A 4xx takes as long as its sender.",
                ),
                Panel("Time until Kafka has it", "s", quantiles("ringover_publish_duration_seconds")),
                Panel(
                    "Received to committed event",
                    "s",
                    quantiles("ringover_end_to_end_seconds", 0.5, 0.99),
                    "After a rewind the age of what is emitted again.",
                ),
            ],
        ),
        (
            "Room",
            [
                Panel(
                    "Requests and connections",
                    "short",
                    [
                        ("sum(ringover_http_inflight)", "requests in flight"),
                        ("sum(ringover_http_connections)", "connections"),
                        (rate("ringover_http_displaced_total", by="wanted"), "gave way, for {{wanted}}"),
                        (rate("ringover_http_connections_refused_total"), "refused"),
                    ],
                ),
                Panel("Bytes held for requests", "bytes", [("sum(ringover_http_buffered_bytes)", "bytes")]),
                Panel(
                    "Memory and processor of the ingress",
                    "short",
                    [
                        ("max(process_resident_memory_bytes) / 1048576", "MiB, largest"),
                        (f"max(rate(process_cpu_seconds_total[{RATE}]))", "cores, busiest"),
                    ],
                ),
                Panel(
                    "Versions",
                    "short",
                    [("count by (job, version) (ringover_build_info)", "{{job}} {{version}}")],
                    "Processes of each; two versions of one program only during a rollout.",
                    stacked=True,
                ),
            ],
        ),
        (
            "Spool: Kafka is away or slow",
            [
                Panel("Records", "short", [("sum by (instance) (ringover_spool_records)", "{{instance}}")]),
                Panel("Oldest", "s", [("max by (instance) (ringover_spool_oldest_age_seconds)", "{{instance}}")]),
                Panel(
                    "In and out",
                    "cps",
                    [
                        (rate("ringover_spool_spooled_total"), "spooled"),
                        (rate("ringover_spool_drained_total"), "drained"),
                        ("min(ringover_spool_usable)", "usable (1)"),
                        ("sum(ringover_spool_set_aside_total)", "files set aside"),
                    ],
                ),
                Panel("Size", "bytes", [("sum by (instance) (ringover_spool_bytes)", "{{instance}}")]),
                Panel(
                    "Full",
                    "percentunit",
                    [("max by (instance) (ringover_spool_bytes / ringover_spool_max_bytes)", "{{instance}}")],
                    "Of INGRESS_SPOOL_MAX_BYTES; at 100 % webhooks are answered 503.",
                ),
            ],
        ),
        (
            "Events out",
            [
                Panel(
                    "What became of raw records",
                    "cps",
                    [(rate("ringover_events_total", by="outcome"), "{{outcome}}")],
                    stacked=True,
                ),
                Panel(
                    "Events by type",
                    "cps",
                    [(rate("ringover_events_total", by="type", where='{outcome="emitted"}'), "{{type}}")],
                ),
                Panel(
                    "Dead letters by reason",
                    "cps",
                    [
                        (seen("ringover_dead_letters_total", by="code"), "{{code}}"),
                        (seen("ringover_ingress_dead_letters_total", by="code"), "{{code}} (ingress)"),
                    ],
                ),
            ],
        ),
        (
            "Errors",
            [
                Panel(
                    "Kafka, from the ingress",
                    "cps",
                    [
                        (rate("ringover_publish_failures_total"), "not acknowledged"),
                        (rate("ringover_producer_replaced_total"), "producers replaced"),
                    ],
                ),
                Panel(
                    "Steps tried again, processors", "cps", [(seen("ringover_retries_total", by="cause"), "{{cause}}")]
                ),
                Panel(
                    "Delay of the event loop",
                    "s",
                    [
                        ("max by (job) (ringover_event_loop_lag_seconds)", "{{job}}"),
                        (rate("ringover_event_loop_blocked_total", by="job"), "{{job}}: times over 100 ms, per second"),
                        (
                            "max by (job, clock) (ringover_event_loop_worst_seconds)",
                            "{{job}}: worst since start, {{clock}}",
                        ),
                    ],
                    "Large by wall and small by cpu: the machine is too busy, not we.",
                ),
                Panel(
                    "Secrets and certificates read anew",
                    "short",
                    [
                        ("sum by (result) (ringover_credentials_reloaded_total)", "credentials {{result}}"),
                        ("sum by (result) (ringover_certificates_reloaded_total)", "certificates {{result}}"),
                    ],
                ),
            ],
        ),
    ],
)

PARTITIONS = Dashboard(
    "ringover-partitions",
    "Ringover: partitions and lag",
    [
        (
            "Lag",
            [
                Panel(
                    "Seconds, by partition",
                    "s",
                    [("max by (partition) (ringover_consumer_lag_seconds)", "{{partition}}")],
                ),
                Panel(
                    "Records, by partition", "short", [("max by (partition) (ringover_consumer_lag)", "{{partition}}")]
                ),
                Panel(
                    "All",
                    "short",
                    [
                        ("sum(ringover_consumer_lag)", "records that wait"),
                        (f"sum(rate(ringover_events_total[{RATE}]))", "processed per second"),
                    ],
                    "The first by the second is how long it takes to catch up, if nothing more comes in.",
                ),
            ],
        ),
        (
            "Who owns what",
            [
                Panel(
                    "Partitions owned",
                    "short",
                    [("sum by (instance) (ringover_partitions)", "{{instance}}")],
                    "The sum is the number of partitions, but for the moments of a rebalance.",
                    stacked=True,
                ),
                Panel(
                    "Changes of hands",
                    "short",
                    [
                        (f"sum(increase(ringover_takeovers_total[{RATE}]))", "taken over"),
                        (f"sum(increase(ringover_fenced_total[{RATE}]))", "fenced"),
                        (f"sum(increase(ringover_healed_records_total[{RATE}]))", "records healed"),
                    ],
                    "Every rebalance takes each partition over once. Healing: PostgreSQL had lost commits.",
                ),
                Panel(
                    "Partitions that stand still",
                    "short",
                    [("max by (partition, kind) (ringover_partition_problem)", "{{partition}} {{kind}}")],
                    "Empty is well. `waits` passes by itself; `ringover-ops lag` has the reason of each.",
                ),
                Panel(
                    "Paused by operators",
                    "short",
                    [
                        ("max(ringover_paused)", "paused (1)"),
                        (f"max(increase(ringover_pauses_total[{RATE}]))", "pauses begun"),
                    ],
                    "A rewind pauses for some seconds. `ringover-ops top` says who.",
                ),
                Panel(
                    "Partitions of topics",
                    "short",
                    [("max by (topic) (ringover_topic_partitions)", "{{topic}}")],
                    "The same for all, for ever: docs/runbook.md, A topic has grown.",
                ),
                Panel(
                    "Who answers",
                    "short",
                    [
                        ("min by (instance) (ringover_state_available)", "PostgreSQL, asked by {{instance}}"),
                        ("min by (instance) (ringover_kafka_available)", "Kafka, asked by {{instance}}"),
                        ('min by (instance) (ringover_ready{job="ringover-processor"})', "{{instance}} ready"),
                    ],
                ),
            ],
        ),
        (
            "A batch",
            [
                Panel("Claim (PostgreSQL)", "s", quantiles("ringover_claim_duration_seconds")),
                Panel("Transaction (Kafka)", "s", quantiles("ringover_commit_duration_seconds")),
                Panel(
                    "Records in a batch",
                    "short",
                    quantiles("ringover_batch_records"),
                    "Small when caught up, PROCESSOR_BATCH_RECORDS or 2 MiB when behind.",
                ),
                Panel(
                    "Steps tried again",
                    "cps",
                    [(seen("ringover_retries_total", by="instance, cause"), "{{instance}} {{cause}}")],
                ),
            ],
        ),
    ],
)

DASHBOARDS = (FLOW, PARTITIONS)


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    document = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["ringover"],
        "schemaVersion": 39,
        "editable": False,  # provisioned: what is changed there is lost
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [{"id": number} | panel for number, panel in enumerate(_panels(dashboard), 1)],
    }
    return json.dumps(document, indent=1) + "\n"


def _panels(dashboard: Dashboard) -> Iterator[dict[str, object]]:
    y = 0
    for title, panels in dashboard.rows:
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        width = WIDTH // len(panels)
        height = HEIGHT // 2 if panels[0].kind == "stat" else HEIGHT
        for column, panel in enumerate(panels):
            yield _panel(panel) | {"gridPos": {"x": column * width, "y": y + 1, "w": width, "h": height}}
        y += 1 + height


def _panel(panel: Panel) -> dict[str, object]:
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(panel.queries)
        ],
    }


def main() -> None:
    """Write the files."""
    for dashboard in DASHBOARDS:
        path = DIRECTORY / f"{dashboard.uid}.json"
        path.write_text(rendered(dashboard), encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}\n")


if __name__ == "__main__":
    main()
