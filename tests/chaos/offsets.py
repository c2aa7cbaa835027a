"""Every offset that the group has committed, read from the broker's own log of them.

What a broker answers is not the same: after a crash it shows older ones for a while (docs/design.md).
"""

import struct
from collections import defaultdict
from collections.abc import Sequence

from aiokafka import ConsumerRecord

from tests.support.kafka import read_topic
from tests.support.verdict import Place

OFFSETS_TOPIC = "__consumer_offsets"
OFFSET_KEYS = {0, 1}  # versions of OffsetCommitKey.json; other numbers are records about groups
_VERSION, _LENGTH = struct.Struct(">h"), struct.Struct(">h")
_PARTITION = struct.Struct(">i")
_VALUE = struct.Struct(">hq")  # OffsetCommitValue.json: its version, then the offset


async def commits(place: Place) -> dict[int, list[int]]:
    """By partition of the raw log, the group's offsets in the order in which they were committed."""
    return commits_in(await read_topic(place.bootstrap_servers, OFFSETS_TOPIC), place.group, place.topics.raw)


def commits_in(records: Sequence[ConsumerRecord], group: str, topic: str) -> dict[int, list[int]]:
    """Those of one group and topic; a group's records are in one partition. Pure."""
    found: dict[int, list[int]] = defaultdict(list)
    for record in records:
        place = _place(record.key)
        if place is not None and place[:2] == (group, topic) and record.value is not None:
            found[place[2]].append(_VALUE.unpack_from(record.value)[1])
    return dict(found)


def _place(key: bytes) -> tuple[str, str, int] | None:
    """Group, topic and partition of an offset; None for a record about something else."""
    if _VERSION.unpack_from(key)[0] not in OFFSET_KEYS:
        return None
    at, texts = _VERSION.size, []
    for _ in range(2):
        (length,) = _LENGTH.unpack_from(key, at)
        at += _LENGTH.size
        texts.append(key[at : at + length].decode())
        at += length
    return texts[0], texts[1], _PARTITION.unpack_from(key, at)[0]
