"""Counts what happens thousands of times a second in one thread, and exposes it as prometheus_client does.

Its own counters and histograms take several times as long: a lock for each number, a look at each bound of a histogram,
and each of many equal values on its own.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Count:
    """Counts one series of a counter: one combination of label values."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.value = 0
        self.created = time.time()

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class Buckets:
    """Counts the observations of one series of a histogram."""

    __slots__ = ("bounds", "counts", "created", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.created = time.time()

    def observe(self, value: float, count: int = 1) -> None:
        """Count so many observations of a value."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    def cumulative(self) -> list[tuple[str, float]]:
        """Add up how many were up to each bound."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


S = TypeVar("S", Count, Buckets)


class _Labelled(Collector, Generic[S]):
    """Holds all series of one metric, by label values."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry, new: Callable[[], S]
    ) -> None:
        self._new: Callable[[], S] = new
        self._about = name, documentation
        self._labels = tuple(labels)
        self._series: dict[tuple[str, ...], S] = {}
        registry.register(self)

    def labels(self, *values: object) -> S:
        texts = tuple(map(str, values))
        series = self._series.get(texts)
        if series is None:
            series = self._series[texts] = self._new()
        return series

    def _named(self) -> Iterable[tuple[dict[str, str], S]]:
        return [(dict(zip(self._labels, values, strict=True)), series) for values, series in self._series.items()]


class Counter(_Labelled[Count]):
    """Counts as prometheus_client's Counter with labels does; its name is without `_total`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        super().__init__(name, documentation, labels, registry, Count)

    def describe(self) -> Iterable[CounterMetricFamily]:
        return [CounterMetricFamily(*self._about, labels=self._labels)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self._named():
            family.add_metric(list(labels.values()), count.value, created=count.created)
        return [family]


class Histogram(_Labelled[Buckets]):
    """Observes as prometheus_client's Histogram does."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        super().__init__(name, documentation, labels, registry, partial(Buckets, tuple(map(float, buckets))))
        if not labels:
            self.observe = self.labels().observe

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [HistogramMetricFamily(*self._about, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for labels, buckets in self._named():
            family.add_metric(list(labels.values()), buckets.cumulative(), buckets.sum)
            family.add_sample(f"{family.name}_created", labels, buckets.created)
        return [family]
