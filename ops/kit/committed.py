"""Reads how far a group is: the processors by their own record, others by what the broker shows."""

from collections.abc import Sequence

from aiokafka import TopicPartition

from ops.kit.groups import Group
from ops.kit.kafka import CLIENT_ID, kafka_errors
from processors.kafka_offsets import read_offsets
from runtime.kafka import client_options
from runtime.settings import KafkaSettings


async def committed_offsets(
    settings: KafkaSettings,
    group: Group,
    partitions: Sequence[TopicPartition],
    *,
    own_topic: str | None,
    wait: bool = False,
) -> dict[int, int | None]:
    """The committed offset of each partition, None where there is none.

    `own_topic` holds the processors' record, which they begin from themselves; None for a group that has none. What the
    broker shows of a group may be outdated after a crash (docs/design.md, "Where a takeover begins"). `wait`: for
    transactions that are open on that topic.

    Raises:
        OpsError: Kafka is away or refuses, or the topic is missing.
    """
    if own_topic is None:
        return await group.committed(partitions)
    options = client_options(settings, client_id=CLIENT_ID)
    with kafka_errors(settings):
        found = await read_offsets(options, own_topic, group.name, partitions, wait=wait)
    return {partition.partition: record.offset for partition, record in found.items()}
