"""Finds transactions of other producers that are open on a partition: nothing behind their first record can be read."""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.lag import PartitionProblem, PartitionStatus
from runtime.logs import logger

UNREAD_SECONDS = 10.0  # records that wait so long without one that could be read are a problem

log = logger(__name__)


def open_transaction(consumer: AIOKafkaConsumer, place: TopicPartition) -> str | None:
    """Say why a consumer of committed records gets nothing more of `place`, as its last fetch saw it; None if not so.

    `place` must be assigned to it.
    """
    stable, end = consumer.last_stable_offset(place), consumer.highwater(place)
    if stable is None or end is None or stable >= end:
        return None
    return (
        f"another producer's transaction is open on {place.topic}/{place.partition} since offset {stable}; it ends by "
        "itself at its transaction.timeout.ms, or by hand: kafka-transactions.sh find-hanging, then abort"
    )


def name_unread(
    statuses: Mapping[TopicPartition, PartitionStatus], fetcher: AIOKafkaConsumer | None, now: float
) -> None:
    """Make a problem of records that wait and cannot be read; `now` in seconds of any clock that goes forward."""
    for partition, status in statuses.items():
        if status.unread_for(now) >= UNREAD_SECONDS and fetcher is not None:
            hidden = open_transaction(fetcher, partition) if partition in fetcher.assignment() else None
            words = hidden or f"records wait since offset {status.position}, and Kafka gives none of them"
            status.problem = PartitionProblem(words)
            log.warning("partition.unread", partition=partition.partition, reason=words)
