"""What can be told of the output without a broker."""

from aiokafka import TopicPartition

from processors.kafka_offsets import transactional_id


def test_transactional_id_is_of_group_and_partition_alone() -> None:
    """The id fences only if every process makes the same one, and no two partitions share it."""
    assert transactional_id("g", TopicPartition("raw", 3)) == "g|raw|3"
    assert transactional_id("g", TopicPartition("raw", 4)) == "g|raw|4"
    assert transactional_id("h", TopicPartition("raw", 3)) == "h|raw|3"
