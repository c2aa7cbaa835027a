"""Runs the processor as a process: member of the group for as long as it runs, admin port, probes, lag metrics."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry, ProcessCollector

from processors.kafka_transactions import name_unread
from processors.lag import LagWatch
from processors.member import Assignment, Member, MemberConfig, OutputFactory
from processors.metrics import ProcessorMetrics, retry_cause
from processors.pause import PauseSwitch
from processors.pipeline import stopped_within
from processors.ports import RecordTracer
from processors.postgres_pool import make_pool
from processors.postgres_state import PostgresState
from processors.settings import ProcessorSettings
from processors.standstill import StandstillReporter
from runtime import tracing
from runtime.admin import admin_server
from runtime.aiokafka_fixes import fetch_bare_records
from runtime.connection_diagnosis import diagnose
from runtime.errors import LogUnavailableError, PipelineError, RefusedError
from runtime.failures import problem_of, shown_traceback
from runtime.kafka import client_options, close_consumer, partitions_by_topic, reading
from runtime.lifecycle import watch_loop_lag
from runtime.logs import logger
from runtime.topics import TopicWatch
from schemas.topics import TOPICS, TopicNames

SERVICE = "ringover-processor"
PROBE_EVERY_SECONDS = 2.0
PROBE_SECONDS = 4.0
RETRY_SECONDS = (0.5, 5.0)
GC_OBJECTS = 500_000  # two looks for cycles are some batches apart: none is made on purpose

log = logger(__name__)


def client_id() -> str:
    """Name this process for Kafka's tools, so that operators can tell who is in the group."""
    return f"{SERVICE}-{socket.gethostname()}-{os.getpid()}"


async def first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class ProcessorService:
    """Wires settings, adapters and pipelines together; `run` is the whole life of a processor."""

    def __init__(self, settings: ProcessorSettings, *, make_output: OutputFactory | None = None) -> None:
        self._settings = settings
        self._make_output = make_output
        self._topics = TopicNames(settings.kafka_topic_prefix)
        self._options: Mapping[str, Any] = client_options(settings, client_id=client_id())
        self._metrics = ProcessorMetrics(CollectorRegistry())
        self._metrics.ready.set_function(lambda: self._not_ready() is None)
        ProcessCollector(registry=self._metrics.registry)
        self._assignment = Assignment()
        self._lag = LagWatch()
        names = [self._topics.of(topic) for topic in TOPICS]
        self._watched = TopicWatch(self._options, names, self._metrics.topic_partitions)
        self._setback: str | None = None  # what ended the last stay in the group
        self._problems: dict[str, str] = {"state": "PostgreSQL: not asked yet", "kafka": "Kafka: not asked yet"}
        self._stopping = asyncio.Event()
        self._tracer: RecordTracer | None = None
        self._pause = PauseSwitch(settings.database_url.get_secret_value(), settings.processor_group, self._metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Process until `stop` is set.

        Raises:
            RefusedError: the database's schema is not ours, or traces are wanted and cannot be (alone or in an
                exception group).
        """
        self._stopping = stop
        fetch_bare_records()
        settings = self._settings
        pool = make_pool(settings.database_url.get_secret_value(), connections=settings.processor_database_connections)
        await pool.open()
        state = PostgresState(pool, settings.log_name)
        reporter = StandstillReporter(
            self._assignment,
            self._metrics,
            state,
            group=settings.processor_group,
            processor=self._options["client_id"],
        )
        try:
            async with (
                self._tracing(),
                admin_server(
                    settings.processor_host,
                    settings.processor_admin_port,
                    live=lambda: None,
                    ready=self._not_ready,
                    registry=self._metrics.registry,
                    note=lambda: self._watched.note,
                ),
                asyncio.TaskGroup() as group,
            ):
                background = [
                    group.create_task(watch_loop_lag(self._metrics)),
                    group.create_task(self._probe_state(state)),
                    group.create_task(self._probe_kafka()),
                    group.create_task(self._pause.watch()),
                    group.create_task(reporter.run()),
                ]
                await self._stay(state, stop)
                for task in background:
                    task.cancel()
        finally:
            await pool.close(timeout=2)

    @asynccontextmanager
    async def _tracing(self) -> AsyncIterator[None]:
        """Have records traced where that is wanted; nothing of OpenTelemetry is imported where it is not."""
        if not tracing.wanted():
            yield
            return
        from processors.otel import BatchTracer  # noqa: PLC0415
        from runtime.otel import exporting  # noqa: PLC0415

        async with exporting(SERVICE) as tracer:
            self._tracer = BatchTracer(tracer, topic=self._topics.raw, group=self._settings.processor_group)
            yield

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "stopping"
        if problems := [*self._problems.values(), *filter(None, [self._watched.problem])]:
            return "; ".join(problems)
        if self._assignment.joined:
            stuck = [(place.partition, found.problem) for place, found in self._assignment.statuses.items()]
            return "; ".join(f"partition {number}: {found.words}" for number, found in stuck if found) or None
        if self._pause.paused.is_set():
            return f"paused: {self._pause.reason}"
        return "not yet in the consumer group" + (f": {self._setback}" if self._setback else "")

    async def _stay(self, state: PostgresState, stop: asyncio.Event) -> None:
        """Be a member of the group, again after whatever passes."""
        wait, longest = RETRY_SECONDS
        while not stop.is_set():
            try:
                await state.check()
                await first_of(stop, self._pause.running)
                if not stop.is_set():
                    await self._stay_once(state, stop)
                wait, self._setback = RETRY_SECONDS[0], None
            except RefusedError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever another member or a server does, it may pass
                self._set_back(error, wait)
                await stopped_within(stop, wait)
                wait = min(wait * 2, longest)

    def _set_back(self, error: Exception, wait: float) -> None:
        """Note what ended a stay; of an unexpected error that is a new one the lines that it passed, too."""
        before, self._setback = self._setback, problem_of(error)
        self._metrics.retries.labels(retry_cause(error)).inc()
        new = not isinstance(error, PipelineError) and self._setback != before
        passed = {"exception": shown_traceback(error)} if new else {}
        log.warning("member.retry", reason=self._setback, retry_in=wait, **passed)

    async def _stay_once(self, state: PostgresState, stop: asyncio.Event) -> None:
        """Stay in the group until the process is stopped or operators pause it."""
        leave = asyncio.Event()

        async def tell() -> None:
            await first_of(stop, self._pause.paused)
            leave.set()

        telling = asyncio.create_task(tell())
        try:
            member = Member(self._member_config(), state, self._metrics, self._assignment, self._make_output)
            await member.stay(leave)
        finally:
            telling.cancel()

    def _member_config(self) -> MemberConfig:
        return MemberConfig(
            options=self._options,
            group=self._settings.processor_group,
            topics=self._topics,
            batch_records=self._settings.processor_batch_records,
            session_timeout_seconds=self._settings.processor_session_timeout_seconds,
            drain_seconds=self._settings.processor_drain_seconds,
            tracer=self._tracer,
        )

    async def _probe_state(self, state: PostgresState) -> None:
        """Ask PostgreSQL now and then: an idle processor must know, too."""
        while True:
            try:
                await state.check()
                self._answers("state", self._metrics.state_available)
            except RefusedError:
                raise
            except Exception as error:  # noqa: BLE001 - a probe looks on, and ends nothing
                self._silent("state", self._metrics.state_available, problem_of(error))
            await asyncio.sleep(PROBE_EVERY_SECONDS)

    async def _probe_kafka(self) -> None:
        """Ask Kafka now and then where the log ends: tells whether it answers, and the lag."""
        while True:
            client = AIOKafkaConsumer(**self._options, enable_auto_commit=False)
            try:
                with reading():
                    async with asyncio.timeout(PROBE_SECONDS):
                        await client.start()
                while True:
                    await self._sample_lag(client)
                    self._answers("kafka", self._metrics.kafka_available)
                    await asyncio.sleep(PROBE_EVERY_SECONDS)
            except LogUnavailableError as error:
                why = await diagnose(self._options)
                self._silent("kafka", self._metrics.kafka_available, f"Kafka: {why}" if why else str(error))
                self._show_lag()  # what is known to wait becomes older all the same
            except Exception as error:  # noqa: BLE001 - a probe looks on, and ends nothing
                self._silent("kafka", self._metrics.kafka_available, f"Kafka: {problem_of(error)}")
            finally:
                await close_consumer(client)
            await asyncio.sleep(PROBE_EVERY_SECONDS)

    async def _sample_lag(self, client: AIOKafkaConsumer) -> None:
        statuses = list(self._assignment.statuses)
        with reading():
            async with asyncio.timeout(PROBE_SECONDS):
                seen = await partitions_by_topic(client)
                if self._topics.raw not in seen:
                    raise LogUnavailableError(f"Kafka: topic {self._topics.raw} does not exist or may not be seen")
                ends = await client.end_offsets(statuses) if statuses else {}
        for partition, status in self._assignment.statuses.items():
            status.end = ends.get(partition)
        name_unread(self._assignment.statuses, self._assignment.fetcher, time.monotonic())
        self._show_lag()
        await self._watched.look({name: len(partitions) for name, partitions in seen.items()})

    def _show_lag(self) -> None:
        statuses = {partition.partition: status for partition, status in self._assignment.statuses.items()}
        self._metrics.lag.clear()
        self._metrics.lag_seconds.clear()
        for number, lag in self._lag.look(statuses, time.time()).items():
            self._metrics.lag.labels(number).set(lag.records)
            self._metrics.lag_seconds.labels(number).set(lag.seconds)

    def _answers(self, what: str, gauge: Any) -> None:
        if self._problems.pop(what, None) is not None:
            log.info("dependency.available", which=what)
        gauge.set(1)

    def _silent(self, what: str, gauge: Any, reason: str) -> None:
        if self._problems.get(what) != reason:
            log.warning("dependency.unavailable", which=what, reason=reason)
        self._problems[what] = reason
        gauge.set(0)
