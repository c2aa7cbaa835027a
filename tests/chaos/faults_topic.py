"""Topics whose settings somebody changes."""

import asyncio
import random
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from ops.kit.topics import TopicSpec
from ops.topics.plan import default_replication_factor, wanted_topics
from tests.chaos.fault import Fault
from tests.chaos.world import World
from tests.support.codecs import CODECS, set_codec
from tests.support.waiting import until

AS_WANTED = "producer"
DONE_SECONDS = 120.0  # while another fault keeps the brokers away


async def change_compression(world: World, chance: random.Random, seconds: float) -> None:
    """Some topics get one codec, then another; the registry's value afterwards."""
    topics = wanted_topics(
        world.topics,
        replication_factor=default_replication_factor(len(world.brokers)),
        partitions=world.config.partitions,
    )
    some = chance.sample(topics, chance.randint(1, len(topics)))
    first, second = chance.sample([*CODECS, "uncompressed"], 2)
    try:
        for codec in (first, second):
            await _set(world, some, codec)
            await asyncio.sleep(seconds / 2)
    finally:
        await _set(world, some, AS_WANTED)


async def _set(world: World, topics: Sequence[TopicSpec], codec: str) -> None:
    async def done() -> bool:
        try:
            await set_codec(world.bootstrap_servers, topics, codec)
        except (KafkaError, OSError):
            return False
        return True

    await until(done, seconds=DONE_SECONDS, what=f"compression.type {codec}")


FAULTS = (Fault("topic-compression-changes", "topic", change_compression),)
