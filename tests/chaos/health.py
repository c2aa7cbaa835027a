"""When the world is well again: servers complete, every program ready."""

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.chaos.cluster import Broker

if TYPE_CHECKING:
    from tests.chaos.world import World

POLL_SECONDS = 0.25
ANSWER_SECONDS = 5.0


async def wait_for_health(world: "World", seconds: float) -> None:
    """Raises AssertionError when something is still not well after `seconds`; it says what and why."""
    deadline = time.monotonic() + seconds
    while ailments := await ailments_of(world):
        assert time.monotonic() < deadline, f"not well after {seconds:g} s: {'; '.join(ailments)}"
        await asyncio.sleep(POLL_SECONDS)


async def ailments_of(world: "World") -> list[str]:
    """What is not well now; what depends on something that is not well is not asked."""
    missing = [f"{unit.name} does not run{_trouble(world, unit.name)}" for unit in world.units if unit.pid is None]
    if missing:
        return missing
    return await brokers_unwell(world.brokers) or await _programs_unwell(world)


async def brokers_unwell(brokers: list[Broker]) -> list[str]:
    """Brokers that do not answer, partitions without a leader or with fewer replicas in sync than they have."""
    answers = await asyncio.gather(*(asyncio.to_thread(broker.ready) for broker in brokers))
    if not all(answers):
        return [f"{broker.name} is not ready" for broker, ready in zip(brokers, answers, strict=True) if not ready]
    direct = ",".join(broker.address for broker in brokers)
    admin = AIOKafkaAdminClient(bootstrap_servers=direct, request_timeout_ms=int(ANSWER_SECONDS * 1000))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await admin.start()
            topics = await admin.describe_topics()
    except (KafkaError, TimeoutError, OSError) as error:
        return [f"the brokers do not say how they are: {error!r}"]
    finally:
        await admin.close()
    return [
        f"{topic['topic']}/{partition['partition']}: leader {partition['leader']}, in sync {partition['isr']}"
        for topic in topics
        for partition in topic["partitions"]
        if partition["leader"] < 0 or len(partition["isr"]) < len(partition["replicas"])
    ]


async def _programs_unwell(world: "World") -> list[str]:
    """Programs whose /readyz does not answer 200."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asked = await asyncio.gather(*(_unready(session, url) for url in world.admin_urls().values()))
    return [f"{name}: {why}" for name, why in zip(world.admin_urls(), asked, strict=True) if why]


async def _unready(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(f"{url}/readyz") as response:
            text = await response.text()
            return "" if response.status == 200 else f"{response.status} {text.strip()}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"does not answer: {type(error).__name__}"


def _trouble(world: "World", name: str) -> str:
    trouble = world.supervisor.keepers[name].trouble
    return f": {trouble}" if trouble else ""
