"""`ringover-ingress`: the composition root of the ingress."""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector

from ingress.app import webhook_server
from ingress.authenticate import Authenticator
from ingress.handler import Limits, WebhookHandler
from ingress.kafka import KafkaPublisher, kafka_options
from ingress.protocol import require_c_parser
from ingress.settings import IngressSettings
from runtime import logs
from runtime.admin import admin_server
from runtime.lifecycle import run, watch_loop_lag
from runtime.metrics import IngressMetrics
from runtime.settings import EXIT_USAGE, Settings, load, masked
from schemas.topics import TopicNames

SERVICE = "ringover-ingress"

log = logs.logger(__name__)


def main() -> int:
    """Run the ingress until SIGTERM; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(usage(IngressSettings))
        return 0
    if arguments:
        sys.stderr.write(f"error: {SERVICE} takes no arguments; see {SERVICE} --help\n")
        return EXIT_USAGE
    settings = load(IngressSettings)
    logs.configure(service=SERVICE, level=settings.log_level, style=settings.log_format)
    # aiokafka logs every attempt to reconnect; the publisher logs each change of state, once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return run(lambda stop: serve(settings, stop))


async def serve(settings: IngressSettings, stop: asyncio.Event) -> None:
    """Take webhooks until `stop` is set, then drain and flush.

    Raises:
        RefusedError: the HTTP parser is not the safe one, or no Kafka client can be made of the settings.
        AddressInUseError: a port is taken.
    """
    require_c_parser()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = IngressMetrics(registry)
    topics = TopicNames(settings.kafka_topic_prefix)
    publisher = KafkaPublisher(
        kafka_options(settings, client_id=SERVICE),
        topics=[topics.raw, topics.dead_letter],
        timeout_seconds=settings.ingress_publish_timeout_seconds,
        metrics=metrics,
    )
    handler = WebhookHandler(
        authenticator=Authenticator(secrets=settings.secrets, tokens=settings.tokens),
        publisher=publisher,
        topics=topics,
        limits=_limits(settings),
        metrics=metrics,
    )
    ready = _readiness(publisher, stop)
    metrics.ready.set_function(lambda: ready() is None)
    host = settings.ingress_host
    # Left in the opposite order: drain the webhooks, flush the producer, and answer probes to the end.
    async with (
        admin_server(host, settings.ingress_admin_port, live=lambda: None, ready=ready, registry=registry),
        asyncio.TaskGroup() as background,
    ):
        tasks = [background.create_task(publisher.run()), background.create_task(watch_loop_lag(metrics.loop_lag))]
        async with webhook_server(
            handler,
            host=host,
            port=settings.ingress_port,
            head_seconds=settings.ingress_request_timeout_seconds,
            keepalive_seconds=settings.ingress_keepalive_seconds,
            drain_seconds=settings.ingress_drain_seconds,
        ):
            log.info("ingress.started", **masked(settings))
            gc.collect()
            gc.freeze()  # what lives as long as the process need not be looked at again
            await stop.wait()
            log.info("ingress.draining")
        for task in tasks:
            task.cancel()


def usage(settings_type: type[Settings]) -> str:
    """The text of `--help`: every setting with its meaning."""
    lines = [
        f"usage: {SERVICE}",
        "",
        "Takes Ringover's webhooks over HTTP and stores them in Kafka. Set by environment variables;",
        "each NAME may also be given as NAME_FILE, the path of a file with the value.",
        "",
    ]
    for name, field in settings_type.model_fields.items():
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        lines += [f"  {name.upper()}", f"      {field.description} ({default})"]
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    return str(default) if default not in (None, "") and str(default) else "none"


def _limits(settings: IngressSettings) -> Limits:
    return Limits(
        max_body_bytes=settings.ingress_max_body_bytes,
        request_timeout_seconds=settings.ingress_request_timeout_seconds,
        max_in_flight=settings.ingress_max_in_flight,
    )


def _readiness(publisher: KafkaPublisher, stop: asyncio.Event) -> Callable[[], str | None]:
    """What keeps the process from taking webhooks, or None."""
    return lambda: "stopping" if stop.is_set() else publisher.problem


if __name__ == "__main__":
    sys.exit(main())
