"""When an ingress says that it takes webhooks."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from ingress.kafka.publisher import CONNECTING, KafkaPublisher
from ingress.metrics import IngressMetrics, SpoolMetrics
from ingress.service import readiness
from ingress.spool.model import SpoolLimits
from ingress.spool.publisher import FallbackPublisher
from ingress.spool.spool import open_spool
from tests.support.waiting import until

NOBODY = "127.0.0.1:1"  # a port that no broker listens on


async def test_ingress_with_a_spool_is_ready_once_it_knows_whether_kafka_is_there(tmp_path: Path) -> None:
    """Not sooner: its first webhooks would wait in the spool, and be overtaken by way of another ingress."""
    registry = CollectorRegistry()
    stop = asyncio.Event()
    broker = KafkaPublisher(
        {"bootstrap_servers": NOBODY}, topics=["raw"], timeout_seconds=1, metrics=IngressMetrics(registry)
    )
    metrics = SpoolMetrics(registry)
    async with open_spool(tmp_path / "spool", SpoolLimits(1_000_000, 60), metrics) as spool:
        spooling = FallbackPublisher(broker, spool, after_seconds=1, max_direct=1, metrics=metrics)
        problem = readiness(broker, spooling, stop)
        assert problem() == CONNECTING

        async def ready() -> bool:
            return problem() is None

        running = asyncio.create_task(broker.run())
        try:
            await until(ready, what="readiness without Kafka")
            assert broker.problem is not None
            stop.set()
            assert problem() == "stopping"
        finally:
            running.cancel()
            await asyncio.wait([running])
