"""Names the metrics that every process has. Those of one program are in its package's `metrics.py`."""

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge

FAST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
DISTRIBUTION = "ringover-events"


def running_version() -> str:
    """Look up the version of this program; `unknown` when it runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


class ProcessMetrics:
    """Holds the metrics that both processes have."""

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
