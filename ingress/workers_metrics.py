"""The metrics of all workers as one exposition: each sample with the number of its worker. Pure."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "worker"


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def merged(texts: Mapping[str, str]) -> CollectorRegistry:
    """The expositions by worker in one registry: `sum without (worker)` of them is what a single process would say."""
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for family in text_string_to_metric_families(text):
            together = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                together.add_sample(sample.name, {**sample.labels, LABEL: worker}, sample.value, sample.timestamp)
    registry = CollectorRegistry()
    registry.register(_Merged(families.values()))
    return registry
