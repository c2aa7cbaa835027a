"""A batch that cannot be read is named, whatever the codec's library says of it, and is no broker that is away."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record import memory_records
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import calc_crc32c

from ops.kit.errors import OpsError, UnreachableError
from ops.kit.kafka import kafka_errors
from runtime.aiokafka_fixes import AnyRecords
from runtime.errors import LogUnavailableError
from runtime.kafka import reading
from runtime.settings import KafkaSettings

GZIP, SNAPPY, LZ4, ZSTD, UNKNOWN = range(1, 6)
BASE_OFFSET, ATTRIBUTES, CRC, AFTER_CRC, PAYLOAD = 0, 22, 17, 21, 61  # where they are in a batch
RECORDS = 20
Decoder = Callable[[bytes], Any]


def _decode_by_extension(data: bytes) -> Any:
    return MemoryRecords(data)


def _decode_by_python(data: bytes) -> Any:
    return _MemoryRecordsPy(data)


@pytest.fixture(params=["extension", "python"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """The client's decoder in C and the one that it falls back to."""
    if request.param == "extension":
        assert MemoryRecords is not _MemoryRecordsPy, "the client has been installed without its extensions"
        return _decode_by_extension
    monkeypatch.setattr(memory_records, "DefaultRecordBatch", _DefaultRecordBatchPy)
    return _decode_by_python


def batch(codec: int, *, base: int = 0) -> bytearray:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(RECORDS):
        builder.append(number, 1_767_366_000_000, b"key", b"value" * 50, [("name", b"x")])
    found = bytearray(builder.build())
    struct.pack_into(">q", found, BASE_OFFSET, base)
    return found


def garbled(found: bytearray) -> bytearray:
    found[PAYLOAD : PAYLOAD + 12] = bytes(byte ^ 0x5A for byte in found[PAYLOAD : PAYLOAD + 12])
    return found


def cut(found: bytearray) -> bytearray:
    del found[-7:]
    struct.pack_into(">i", found, 8, len(found) - 12)
    return found


def of_unknown_codec(found: bytearray) -> bytearray:
    found[ATTRIBUTES] = found[ATTRIBUTES] & ~7 | UNKNOWN
    return found


def with_right_crc(found: bytearray) -> bytes:
    struct.pack_into(">I", found, CRC, calc_crc32c(bytes(found[AFTER_CRC:])))
    return bytes(found)


def records(data: bytes, decoder: Decoder) -> AnyRecords:
    return AnyRecords(TopicPartition("raw", 3), decoder(data), [], 0, None, None, True, READ_COMMITTED)


def cases() -> Iterator[object]:
    for codec, name in ((GZIP, "gzip"), (SNAPPY, "snappy"), (LZ4, "lz4"), (ZSTD, "zstd")):
        yield pytest.param(with_right_crc(garbled(batch(codec, base=RECORDS))), id=f"{name}-garbled")
        yield pytest.param(with_right_crc(cut(batch(codec, base=RECORDS))), id=f"{name}-cut")
        yield pytest.param(bytes(garbled(batch(codec, base=RECORDS))), id=f"{name}-wrong-crc")
    yield pytest.param(with_right_crc(of_unknown_codec(batch(0, base=RECORDS))), id="unknown-codec")


@pytest.mark.parametrize("damaged", [*cases()])
def test_a_batch_that_cannot_be_read_is_named_by_topic_partition_and_offset(damaged: bytes, decoder: Decoder) -> None:
    found = records(bytes(batch(LZ4)) + damaged, decoder)

    assert [next(found).offset for _ in range(RECORDS)] == list(range(RECORDS))
    with (
        pytest.raises(
            LogUnavailableError, match=rf"raw/3: the batch at offset {RECORDS} cannot be read: \S+"
        ) as caught,
        reading(),
    ):
        next(found)
    assert isinstance(caught.value.__cause__, CorruptRecordException)


@pytest.mark.parametrize("damaged", [*cases()])
def test_operators_are_told_of_the_batch_and_not_that_no_broker_answers(damaged: bytes, decoder: Decoder) -> None:
    with (
        pytest.raises(OpsError, match=r"raw/3: the batch at offset 0 cannot be read") as caught,
        kafka_errors(KafkaSettings(kafka_bootstrap_servers="nowhere:1")),
    ):
        next(records(damaged, decoder))
    assert not isinstance(caught.value, UnreachableError)
