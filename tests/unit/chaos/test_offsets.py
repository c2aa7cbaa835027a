"""Offsets read from the broker's log of them; records as Kafka 4.4 writes them."""

from aiokafka import ConsumerRecord

from tests.chaos.offsets import commits_in


def record(key: bytes, value: bytes | None) -> ConsumerRecord:
    return ConsumerRecord("__consumer_offsets", 3, 0, 0, 0, key, value, None, len(key), len(value or b""), ())


def offset_key(group: bytes, topic: bytes, partition: int) -> bytes:
    texts = b"".join(len(text).to_bytes(2, "big") + text for text in (group, topic))
    return b"\x00\x01" + texts + partition.to_bytes(4, "big")


def offset_value(offset: int) -> bytes:
    return b"\x00\x03" + offset.to_bytes(8, "big") + b"\xff\xff\xff\xff\x00\x00" + bytes(8)


def test_offsets_of_one_group_and_topic_come_out_by_partition_in_order() -> None:
    records = [
        record(offset_key(b"group", b"raw", 1), offset_value(5)),
        record(offset_key(b"group", b"raw", 0), offset_value(7)),
        record(offset_key(b"another", b"raw", 1), offset_value(1)),
        record(offset_key(b"group", b"another", 1), offset_value(2)),
        record(b"\x00\x02" + b"\x00\x05group", b"\x00\x03anything about the group"),
        record(offset_key(b"group", b"raw", 1), None),  # an offset that expired
        record(offset_key(b"group", b"raw", 1), offset_value(2**40)),
    ]

    assert commits_in(records, "group", "raw") == {0: [7], 1: [5, 2**40]}
