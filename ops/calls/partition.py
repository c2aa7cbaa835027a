"""Which partition a call is in. Pure."""

from aiokafka.partitioner import murmur2


def partition_of(call_id: str, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives a key: murmur2, its sign bit cleared, modulo.

    The Java client and aiokafka do the same; the ingress stores every webhook that way.
    """
    return int((murmur2(call_id.encode()) & 0x7FFFFFFF) % partitions)
