"""Computes the partition that a record belongs to, for every program alike. Pure.

A key's is as Java's default partitioner and aiokafka's say, in half of aiokafka's time. The topics have equally many
partitions, until somebody adds some: docs/design.md, "A topic that grows".
"""

import struct
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

# Constants of Murmur2, as in org.apache.kafka.common.utils.Utils.murmur2.
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_32_BITS = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
# By number of words. A key of ours has at most 512 bytes: 128 characters of up to 4.
_WORDS = [struct.Struct(f"<{count}I") for count in range(129)]


def partition_of(key: bytes, partitions: Sequence[T]) -> T:
    """The partition of `key`, of those that keys are spread over, in ascending order of their numbers."""
    return partitions[(murmur2(key) & _POSITIVE) % len(partitions)]


def spread(counts: Iterable[int]) -> int:
    """Over how many partitions of the raw topic keys are spread, from how many raw and dead-letter topic have: fewest.

    Whoever writes to raw sees both. Partitions that were added to raw alone, which is what an accident looks like, move
    no key.
    """
    return min(counts)


def output_partition(source: int, partitions: int) -> int:
    """Where what comes out of partition `source` of the raw topic goes, in a topic with so many partitions.

    Of equally many it is the same number. Of fewer it is where the key has always gone, if raw grew to a multiple.
    """
    return source % partitions


def murmur2(data: bytes) -> int:
    """Java's Murmur2, as an unsigned number of 32 bits."""
    count = len(data) >> 2
    words = _WORDS[count] if count < len(_WORDS) else struct.Struct(f"<{count}I")
    mixed = _SEED ^ len(data)
    for word in words.unpack_from(data):
        scrambled = word * _MULTIPLIER & _32_BITS
        # The low 32 bits of a product depend on those of its factors alone, so masking once is enough.
        mixed = (mixed * _MULTIPLIER ^ (scrambled ^ scrambled >> 24) * _MULTIPLIER) & _32_BITS
    rest = len(data) & 3
    if rest:
        mixed = (mixed ^ int.from_bytes(data[-rest:], "little")) * _MULTIPLIER & _32_BITS
    mixed = (mixed ^ mixed >> 13) * _MULTIPLIER & _32_BITS
    return mixed ^ mixed >> 15
