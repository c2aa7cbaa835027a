"""Composes an ingress from its settings, and runs it until it is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, ProcessCollector

from ingress.credentials import Credentials, authenticator_of
from ingress.handler import WebhookHandler
from ingress.http.admission import SPARE_CONNECTIONS, Admission
from ingress.http.exchanges import Exchanges, RequestLimits
from ingress.http.server import require_c_parser, webhook_server
from ingress.http.tls import Tls
from ingress.kafka.publisher import CONNECTING, KafkaPublisher
from ingress.metrics import IngressMetrics, SpoolMetrics
from ingress.ports import Tracer
from ingress.settings import IngressSettings
from ingress.spool.model import SpoolLimits
from ingress.spool.publisher import FallbackPublisher
from ingress.spool.spool import open_spool
from runtime import logs, tracing
from runtime.admin import admin_server
from runtime.kafka import client_options
from runtime.lifecycle import Stop, calm_garbage_collection, raise_open_files, watch_loop_lag
from schemas.topics import TopicNames

SERVICE = "ringover-ingress"
# Open files beside connections to the public port: to the brokers, to the admin port, listening, modules, logs.
OTHER_FILES = 256

log = logs.logger(__name__)


async def serve(settings: IngressSettings, stop: Stop) -> None:
    """Take webhooks until `stop` is set, then drain and flush.

    Raises:
        RefusedError: the HTTP parser is not the safe one, no Kafka client can be made of the settings, the spool's
            directory cannot be used, or traces are wanted and cannot be.
        AddressInUseError: a port is taken.
    """
    require_c_parser()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = IngressMetrics(registry)
    topics = TopicNames(settings.kafka_topic_prefix)
    broker = KafkaPublisher(
        client_options(settings, client_id=SERVICE),
        topics=[topics.raw, topics.dead_letter],
        timeout_seconds=settings.ingress_publish_timeout_seconds,
        metrics=metrics,
    )
    async with _tracing() as tracer, _spooling(settings, broker, registry) as spooling:
        handler = WebhookHandler(
            authenticator=authenticator_of(settings),
            publisher=spooling or broker,
            topics=topics,
            max_in_flight=settings.ingress_max_in_flight,
            tracer=tracer,
        )
        exchanges = Exchanges(handler, limits=_limits(settings), metrics=metrics, addresses=settings.addresses)
        credentials = Credentials(handler.use, metrics)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, credentials.reload)
        tls = _tls(settings, metrics)
        ready = readiness(broker, spooling, stop)
        metrics.ready.set_function(lambda: ready() is None)
        host = settings.ingress_host
        # Left in the opposite order: drain the webhooks, flush the producer, and answer probes to the end.
        async with (
            admin_server(
                host,
                settings.ingress_admin_port,
                live=lambda: None,
                ready=ready,
                registry=registry,
                note=notes(broker, spooling),
            ),
            asyncio.TaskGroup() as background,
        ):
            runs = [
                broker.run(),
                watch_loop_lag(metrics),
                credentials.watch(),
                *([tls.watch()] if tls else []),
                *([spooling.run()] if spooling else []),
            ]
            tasks = [background.create_task(run) for run in runs]
            if settings.ingress_reuse_port:
                await _tried(broker, stop)  # nobody asks who of those that listen is ready
            async with webhook_server(
                exchanges,
                _admission(settings, metrics),
                host=host,
                port=settings.ingress_port,
                head_seconds=settings.ingress_request_timeout_seconds,
                keepalive_seconds=settings.ingress_keepalive_seconds,
                drain_seconds=settings.ingress_drain_seconds,
                leave_seconds=settings.ingress_leave_seconds,
                tls=tls.context if tls else None,
                shares_port=settings.ingress_reuse_port,
            ):
                log.info("ingress.started")
                # 10,000 connections are 300,000 objects; to look at all of them blocks the loop for 0.1 s. No
                # connection waits for that to be freed; a test holds it.
                calm_garbage_collection(objects=10_000, young=5, old=1000)
                await stop.wait()
                log.info("ingress.draining")
            for task in tasks:
                task.cancel()


async def _tried(broker: KafkaPublisher, stop: Stop) -> None:
    waits = [asyncio.ensure_future(wait) for wait in (broker.tried(), stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


@asynccontextmanager
async def _tracing() -> AsyncIterator[Tracer | None]:
    """Give what makes spans; None, and nothing of OpenTelemetry is imported, unless they are wanted."""
    if not tracing.wanted():
        yield None
        return
    from ingress.otel import WebhookTracer  # noqa: PLC0415
    from runtime.otel import exporting  # noqa: PLC0415

    async with exporting(SERVICE) as tracer:
        yield WebhookTracer(tracer)


@asynccontextmanager
async def _spooling(
    settings: IngressSettings, broker: KafkaPublisher, registry: CollectorRegistry
) -> AsyncIterator[FallbackPublisher | None]:
    """Give the publisher that falls back to a spool, or None when no directory is set."""
    if settings.ingress_spool_dir is None:
        yield None
        return
    metrics = SpoolMetrics(registry)
    limits = SpoolLimits(settings.ingress_spool_max_bytes, settings.ingress_spool_max_age_seconds)
    async with open_spool(settings.ingress_spool_dir, limits, metrics) as spool:
        yield FallbackPublisher(
            broker,
            spool,
            after_seconds=settings.ingress_spool_after_seconds,
            # The other half is for webhooks on their way to the disk.
            max_direct=max(1, settings.ingress_max_in_flight // 2),
            metrics=metrics,
        )


def _limits(settings: IngressSettings) -> RequestLimits:
    return RequestLimits(settings.ingress_max_body_bytes, settings.ingress_request_timeout_seconds)


def _tls(settings: IngressSettings, metrics: IngressMetrics) -> Tls | None:
    cert_file, key_file = settings.ingress_tls_cert_file, settings.ingress_tls_key_file
    return Tls(cert_file, key_file, metrics) if cert_file and key_file else None


def _admission(settings: IngressSettings, metrics: IngressMetrics) -> Admission:
    """Room for as many connections as are set, or as the system lets us have."""
    files = raise_open_files()
    connections = max(1, min(settings.ingress_max_connections, files - OTHER_FILES - SPARE_CONNECTIONS))
    if connections < settings.ingress_max_connections:
        log.warning("ingress.too_few_open_files", open_files=files, max_connections=connections)
    return Admission(max_connections=connections, max_bytes=settings.ingress_max_buffered_bytes, metrics=metrics)


def readiness(broker: KafkaPublisher, spooling: FallbackPublisher | None, stop: Stop) -> Callable[[], str | None]:
    """Make the check that tells what keeps the process from taking webhooks."""

    def problem() -> str | None:
        if stop.is_set():
            return "stopping"
        # What comes before the first contact goes to the spool, and later webhooks of its calls, that come to another
        # ingress, would be stored before it.
        if broker.problem in (None, CONNECTING) or spooling is None:
            return broker.problem
        return spooling.refusal and f"{broker.problem}; {spooling.refusal}"

    return problem


def notes(broker: KafkaPublisher, spooling: FallbackPublisher | None) -> Callable[[], str | None]:
    """Make the check that tells what `/readyz` adds to "ok": why webhooks go to the spool, and how topics differ."""

    def note() -> str | None:
        told = [broker.note] if spooling is None else [broker.problem, spooling.note(), broker.note]
        return "; ".join(filter(None, told)) or None

    return note
