"""Records as the client's decoder makes them have what the processor reads."""

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from runtime.aiokafka_fixes import fetch_bare_records

HEADERS = [("endpoint", b"call-ended"), ("endpoint", b""), ("é", b"\xff")]


def fetched() -> PartitionRecords:
    batch = BatchBuilder(1024, 0)
    batch.append(key=b"key", value=b"value", timestamp=1_767_366_000_000, headers=HEADERS)
    batch.append(key=None, value=None, timestamp=1_767_366_000_001, headers=[])
    encoded = MemoryRecords(bytes(batch._build()))
    return PartitionRecords(TopicPartition("raw", 0), encoded, [], 0, None, None, True, READ_COMMITTED)


def test_bare_record_has_what_the_clients_own_record_has(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs: list[ConsumerRecord] = list(fetched())
    monkeypatch.setattr(PartitionRecords, "_consumer_record", PartitionRecords._consumer_record)  # to put it back

    fetch_bare_records()
    bare = list(fetched())

    def shown(record: ConsumerRecord) -> tuple[object, ...]:
        return record.offset, record.timestamp, record.key, record.value, list(record.headers)

    assert [shown(record) for record in bare] == [shown(record) for record in theirs]
    assert bare[0].headers == HEADERS
    assert not isinstance(bare[0], ConsumerRecord)
