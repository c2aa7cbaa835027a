"""A histogram that takes many equal values at once; the library's own takes them one by one, under a lock each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BulkHistogram(Collector):
    """Exposed like `prometheus_client.Histogram` with one label."""

    def __init__(
        self, name: str, documentation: str, label: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._bounds = [*buckets, float("inf")]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, label: str, value: float, count: int) -> None:
        """Note `count` observations of `value`."""
        counts = self._counts.setdefault(label, [0] * len(self._bounds))
        counts[bisect_left(self._bounds, value)] += count
        self._sums[label] = self._sums.get(label, 0.0) + value * count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        for label, counts in self._counts.items():
            bounds = ["+Inf" if bound == float("inf") else str(float(bound)) for bound in self._bounds]
            family.add_metric([label], list(zip(bounds, accumulate(counts), strict=True)), self._sums[label])
        yield family
