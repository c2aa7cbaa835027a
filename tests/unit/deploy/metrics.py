"""The metrics that the real programs export, and what a query asks of them."""

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingress.access_log import AccessLog
from ingress.metrics import IngressMetrics, SpoolMetrics
from processors.metrics import ProcessorMetrics
from tests.support.waiting import until
from tests.unit.deploy.tools import ROOT

START_SECONDS = 60.0
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


@asynccontextmanager
async def exposition(module: str, environment: dict[str, str], port: int) -> AsyncIterator[str]:
    """What a program's /metrics says while it runs, without Kafka and without PostgreSQL."""
    ours = ("KAFKA_", "INGRESS_", "PROCESSOR_", "DATABASE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), cwd=ROOT, env=clean | environment, stdout=subprocess.DEVNULL
    )

    async def asked() -> str:
        assert process.returncode is None, f"{module} ended with {process.returncode}"
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")

    try:
        yield await until(asked, seconds=START_SECONDS, what=f"{module}'s /metrics")
    finally:
        process.kill()
        await process.wait()


def _get(url: str) -> str:
    """The answer; nothing when nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - of this machine
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""


def names_in(text: str) -> set[str]:
    """The names that queries may use, of an exposition; metrics with labels are there before they have a series."""
    return {family.name + suffix for family in text_string_to_metric_families(text) for suffix in SUFFIXES[family.type]}


def labels_exported() -> dict[str, dict[str, set[str]]]:
    """The labels of each name, and the bounds of its buckets as values of `le`."""
    found: dict[str, dict[str, set[str]]] = {}
    for makers in ((IngressMetrics, SpoolMetrics), (ProcessorMetrics,)):
        registry = CollectorRegistry()
        for make in makers:
            _use_each(make(registry))
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def series_at_start() -> dict[str, set[frozenset[str]]]:
    """The label values of each name's series, `le` aside, of programs to which nothing happened yet."""
    found: dict[str, set[frozenset[str]]] = {}
    of_ingress, of_processor = CollectorRegistry(), CollectorRegistry()
    AccessLog(IngressMetrics(of_ingress))
    ProcessorMetrics(of_processor)
    for registry in (of_ingress, of_processor):
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                values = frozenset(value for label, value in sample.labels.items() if label != "le")
                found.setdefault(sample.name, set()).add(values)
    return found


def _use_each(metrics: object) -> None:
    """Make a series of each metric that has labels."""
    for metric in vars(metrics).values():
        names = getattr(metric, "_labelnames", None) or getattr(metric, "_labels", None)
        if names:
            metric.labels(*("some" for _ in names))


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric in a query, with what it is filtered by: label, operator, value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors_of(query: str) -> list[Selector]:
    """Every metric that the query asks for."""
    found: list[Selector] = []

    def look(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = tuple((matcher.name, str(matcher.op), matcher.value) for matcher in node.matchers.matchers)
            found.append(Selector(str(node.name), matchers))

    promql_parser.walk(parsed(query), look)
    return found


def groupings_of(query: str) -> list[tuple[set[str], list[Selector]]]:
    """The labels of each aggregation or join, and the metrics below it that must have them."""
    found: list[tuple[set[str], list[Selector]]] = []

    def look(node: Any) -> None:
        modifier = getattr(node, "modifier", None)
        labels = getattr(modifier, "labels", None) or getattr(getattr(modifier, "matching", None), "labels", None)
        if labels:
            found.append((set(labels), selectors_of(node.prettify())))

    promql_parser.walk(parsed(query), look)
    return found


def parsed(query: str) -> Any:
    """The query's tree; Grafana's variable stands for some duration."""
    return promql_parser.parse(query.replace("$__rate_interval", "1m"))
