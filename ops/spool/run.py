"""Sends a spool whose ingress is gone, by the ingress's own drain: with its lock and in its order."""

import asyncio
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from rich.table import Table

from ingress.kafka.publisher import KafkaPublisher
from ingress.metrics import IngressMetrics, SpoolMetrics
from ingress.spool.drain import Drain
from ingress.spool.model import SpoolLimits
from ingress.spool.spool import Spool, open_spool
from ops.kit.change import Change
from ops.kit.errors import UnsafeError, UsageError
from ops.kit.kafka import CLIENT_ID
from ops.kit.live import stopped
from ops.kit.progress import Advance, ShowProgress
from ops.spool.read import SpoolSummary, summary
from ops.spool.show import notes, tables
from runtime.errors import RefusedError
from runtime.kafka import client_options
from runtime.settings import KafkaSettings
from schemas.topics import TopicNames, topic_named

PUBLISH_SECONDS = 8.0
STUCK_SECONDS = 20.0  # without any progress: Kafka is away, or refuses what is left
LOOK_SECONDS = 0.1
_NO_LIMITS = SpoolLimits(max_bytes=2**62, max_age_seconds=2**31)


@dataclass(frozen=True, slots=True)
class Drained:
    """Tells how it ended; `problem` is why records are left, if it is known."""

    sent: int
    left: int
    problem: str | None


class DrainSpool(Change[SpoolSummary, Drained]):
    """Sends every record of a spool and removes what Kafka has acknowledged."""

    def __init__(self, settings: KafkaSettings, directory: Path, progress: ShowProgress) -> None:
        self._settings, self._directory, self._progress = settings, directory, progress

    async def plan(self) -> SpoolSummary:
        return summary(self._directory)

    def nothing_to_do(self, plan: SpoolSummary) -> bool:
        return plan.records == 0

    async def execute(self, plan: SpoolSummary) -> Drained:
        """Return when all is sent, nothing moves any more, or the operator interrupts."""
        with self._progress("draining", plan.records) as advance:
            return await drain(self._settings, self._directory, plan.topics, advance)

    def tables(self, plan: SpoolSummary) -> Iterable[Table]:
        return tables(plan)

    def notes(self, plan: SpoolSummary) -> Iterable[str]:
        return notes(plan)

    def done(self, plan: SpoolSummary, result: Drained) -> str:
        return f"sent: {result.sent}, left: {result.left}"


async def drain(settings: KafkaSettings, directory: Path, topics: list[str], advance: Advance) -> Drained:
    """Send everything, until it is done, stuck or interrupted; `advance` is called with each number of records.

    Raises:
        UnsafeError: an ingress has the spool.
        UsageError: no Kafka client can be made of the settings.
    """
    _talk_on_stderr()
    try:
        options = client_options(settings, client_id=CLIENT_ID)
    except RefusedError as error:
        raise UsageError(str(error)) from error
    registry = CollectorRegistry()
    try:
        async with open_spool(directory, _NO_LIMITS, SpoolMetrics(registry)) as spool:
            publisher = KafkaPublisher(
                options, topics=with_partners(topics), timeout_seconds=PUBLISH_SECONDS, metrics=IngressMetrics(registry)
            )
            return await _drained(spool, publisher, advance)
    except RefusedError as error:
        raise UnsafeError(str(error)) from error


def with_partners(topics: Iterable[str]) -> list[str]:
    """The topics, and those beside them that decide over how many partitions keys are spread, as for the ingress."""
    environments = {TopicNames(name.removesuffix(topic.name)) for name in topics if (topic := topic_named(name))}
    return sorted({*topics, *(name for names in environments for name in (names.raw, names.dead_letter))})


async def _drained(spool: Spool, publisher: KafkaPublisher, advance: Advance) -> Drained:
    stop, before = stopped(), spool.records
    work = Drain(spool, publisher, lambda _seconds: advance(1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(publisher.run()), group.create_task(work.run())]
        await _end(spool, stop)
        problem = publisher.problem
        for task in tasks:
            task.cancel()
    return Drained(before - spool.records, spool.records, problem)


async def _end(spool: Spool, stop: asyncio.Event) -> None:
    """Return when the spool is empty, nothing moves any more, or the operator has had enough."""
    clock = asyncio.get_running_loop().time
    left, moved = spool.records, clock()
    while spool.records and not stop.is_set() and clock() - moved < STUCK_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        if spool.records != left:
            left, moved = spool.records, clock()


def _talk_on_stderr() -> None:
    """What the ingress's parts log is talk here."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
