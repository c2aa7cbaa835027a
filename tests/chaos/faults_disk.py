"""Disks without a free byte."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.chaos.disk import Disk
from tests.chaos.fault import Fault, thoroughly
from tests.chaos.faults_network import misbehaving
from tests.chaos.proxy import CUT
from tests.chaos.world import World


@asynccontextmanager
async def full(disk: Disk) -> AsyncIterator[None]:
    """No free byte while this is open."""
    try:
        await thoroughly(disk.fill)
        yield
    finally:
        disk.free()


async def fill_broker(world: World, chance: random.Random, seconds: float) -> None:
    """A broker that cannot write its log halts; it comes back when there is space."""
    async with full(world.disks[chance.choice(world.brokers).name]):
        await asyncio.sleep(seconds)


async def fill_postgres(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Statements fail, or the server ends when its log cannot be written."""
    async with full(world.disks["postgres"]):
        await asyncio.sleep(seconds)


async def fill_spool(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """With Kafka away nothing can be kept: webhooks must be refused."""
    async with full(world.disks["spool"]), misbehaving([world.links["ingress-kafka"]], CUT):
        await asyncio.sleep(seconds)


def _mounted(*names: str) -> Callable[[World], str | None]:
    return lambda world: next((world.disks[name].obstacle for name in names if world.disks[name].obstacle), None)


FAULTS = (
    Fault("broker-disk-full", "disk", fill_broker, _mounted("kafka-1")),
    Fault("postgres-disk-full", "disk", fill_postgres, _mounted("postgres")),
    Fault("spool-disk-full", "disk", fill_spool, _mounted("spool")),
)
