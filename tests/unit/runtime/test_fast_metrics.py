"""The counters and histograms of the hot path expose what prometheus_client's own would."""

import re

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from runtime.fast_metrics import Counter, Histogram

BUCKETS = (0.125, 0.5, 1, 10)


def exposed(registry: CollectorRegistry) -> list[str]:
    """Both formats, without the times of creation."""
    text = generate_latest(registry).decode() + generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    return [re.sub(r"(_created\S*) .*", r"\1", line) for line in text.splitlines()]


# Exact in binary, so that sums are exact, too.
VALUES = st.sampled_from([*BUCKETS, -1.0, 0.25, 9.75, 1e6])


@given(st.lists(st.tuples(st.sampled_from("ab"), VALUES, st.integers(1, 3)), max_size=30))
def test_histogram_exposes_what_the_reference_does(observations: list[tuple[str, float, int]]) -> None:
    ours, reference = CollectorRegistry(), CollectorRegistry()
    fast = Histogram("seconds", "Time", ["endpoint"], buckets=BUCKETS, registry=ours)
    slow = prometheus_client.Histogram("seconds", "Time", ["endpoint"], buckets=BUCKETS, registry=reference)
    for label, value, count in observations:
        fast.labels(label).observe(value, count)
        for _ in range(count):
            slow.labels(label).observe(value)

    assert exposed(ours) == exposed(reference)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(200, 202), st.integers(0, 5)), max_size=30))
def test_counter_exposes_what_the_reference_does(counted: list[tuple[str, int, int]]) -> None:
    ours, reference = CollectorRegistry(), CollectorRegistry()
    fast = Counter("requests", "Requests", ["endpoint", "code"], registry=ours)
    slow = prometheus_client.Counter("requests", "Requests", ["endpoint", "code"], registry=reference)
    for label, code, amount in counted:
        fast.labels(label, code).inc(amount)
        slow.labels(label, code).inc(amount)

    assert exposed(ours) == exposed(reference)


def test_histogram_without_labels() -> None:
    ours, reference = CollectorRegistry(), CollectorRegistry()
    fast = Histogram("seconds", "Time", buckets=BUCKETS, registry=ours)
    slow = prometheus_client.Histogram("seconds", "Time", buckets=BUCKETS, registry=reference)
    assert exposed(ours) == exposed(reference)
    fast.observe(0.7)
    slow.observe(0.7)

    assert exposed(ours) == exposed(reference)


def test_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Histogram("seconds", "Time", buckets=BUCKETS, registry=registry)

    with pytest.raises(ValueError, match="seconds"):
        Histogram("seconds", "Time", buckets=BUCKETS, registry=registry)
