"""Tells in which partitions a call is. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from ops.kit.claims import ClaimRow
from schemas.placement import output_partition, partition_of, spread
from schemas.topics import TopicNames


def placed(call_id: str, names: TopicNames, counts: Mapping[str, int]) -> int:
    """Return the partition of the raw topic where the ingress puts a call now; `counts`: partitions by topic."""
    return partition_of(call_id.encode(), range(spread([counts[names.raw], counts[names.dead_letter]])))


def raw_partitions(
    call_ids: Iterable[str], names: TopicNames, counts: Mapping[str, int], claims: Sequence[ClaimRow]
) -> list[int]:
    """Return the partitions of the raw topic that may have records of these calls; `claims` are theirs.

    One for each call, as long as nothing tells that a topic has grown. Then all: where the ingress put a call earlier,
    and where others put it, nobody knows.
    """
    here = sorted({placed(call_id, names, counts) for call_id in call_ids})
    grown = len(set(counts.values())) > 1 or any(claim.partition not in here for claim in claims)
    return list(range(counts[names.raw])) if grown else here


def outputs_of(source: int, count: int, *, raw: int) -> Sequence[int]:
    """Return the partitions of a topic of `count` that may have what came out of one partition of raw, of `raw`.

    One, unless one of the two has grown: then any, for it was written before or after.
    """
    return [source] if count == raw else range(count)


def output_partitions(sources: Sequence[int], count: int, *, raw: int) -> list[int]:
    """Return the partitions of a topic of `count` that may have what came out of these partitions of raw, of `raw`.

    If all of raw is meant, it is all of the topic: it may have grown since.
    """
    return list(range(count)) if len(sources) == raw else sorted({output_partition(p, count) for p in sources})
