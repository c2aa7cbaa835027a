"""A spool in a directory of the test's own, and records for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from ingress.metrics import SpoolMetrics
from ingress.ports import OutgoingRecord
from ingress.spool.model import Row, SpoolLimits
from ingress.spool.spool import Spool, open_spool

ROOMY = SpoolLimits(max_bytes=1024**3, max_age_seconds=3600)


@asynccontextmanager
async def spool_in(
    directory: Path, limits: SpoolLimits = ROOMY, registry: CollectorRegistry | None = None
) -> AsyncIterator[Spool]:
    async with open_spool(directory, limits, SpoolMetrics(registry or CollectorRegistry())) as spool:
        yield spool


def record(number: int, key: bytes | None = b"call", *, topic: str = "raw") -> OutgoingRecord:
    return OutgoingRecord(topic, key, b"%d" % number, [("request-id", b"%d" % number), ("empty", b"")])


async def rows_of(spool: Spool) -> list[Row]:
    return await spool.read(after=0, max_rows=100_000, max_bytes=1024**3)


async def values_of(spool: Spool) -> list[int]:
    return [int(row.record.value) for row in await rows_of(spool)]
