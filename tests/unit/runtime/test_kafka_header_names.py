"""Header names that are no UTF-8: every record of the fetch comes, once, in order."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords

from runtime.aiokafka_fixes import AnyRecords, KeptRecords
from tests.support.odd_records import OddBatchBuilder, odd_name

PLACE = TopicPartition("raw", 0)
ODD = odd_name(b"n\xff\x80\xc3\xa9")
NOTHING, GZIP = 0, 1


def batch(base: int, names: list[str], *, codec: int = NOTHING, producer: int = -1) -> bytes:
    """One record per name, from offset `base` on."""
    builder = OddBatchBuilder(2, codec, int(producer >= 0), producer, 0, 0, 1 << 20)
    for delta, name in enumerate(names):
        builder.append(delta, 1_000, b"k", b"v" * 100, [(name, b"\xff"), (name, None)])
    written = builder.build()
    written[:8] = base.to_bytes(8, "big")
    return bytes(written)


def records(data: bytes, *, aborted: list[tuple[int, int]] | None = None, start: int = 0) -> AnyRecords:
    return AnyRecords(PLACE, KeptRecords(data), aborted, start, None, None, True, READ_COMMITTED)


def read(found: AnyRecords) -> list[tuple[int, Any]]:
    return [(record.offset, record.headers) for record in found]


@pytest.mark.parametrize("codec", [NOTHING, GZIP])
def test_a_header_name_that_is_no_utf8_ends_no_fetch(codec: int) -> None:
    data = batch(0, ["a", "é"]) + batch(2, ["b", ODD, "c"], codec=codec) + batch(5, ["d"])

    found = read(records(data))

    names = ["a", "é", "b", "n\\xff\\x80é", "c", "d"]
    assert found == [(offset, ((name, b"\xff"), (name, None))) for offset, name in enumerate(names)]


def test_nothing_comes_twice_when_transactions_before_it_were_aborted() -> None:
    data = b"".join(
        [
            batch(0, ["a"]),
            batch(1, ["x"], producer=7),
            batch(2, ["b", "c"]),
            batch(4, [ODD], producer=8),
            batch(5, [ODD], producer=7),
            batch(6, ["d"]),
        ]
    )

    found = records(data, aborted=[(7, 1)])

    assert [offset for offset, _ in read(found)] == [0, 2, 3, 4, 6]
    assert found.next_fetch_offset == 7


def test_a_fetch_that_begins_inside_a_batch_begins_there() -> None:
    assert [offset for offset, _ in read(records(batch(0, ["a", ODD, "b"]), start=1))] == [1, 2]


def test_the_client_still_fails_there_by_itself() -> None:
    """When it does not any more, `runtime.aiokafka_fixes` can go."""
    theirs = PartitionRecords(PLACE, KeptRecords(batch(0, [ODD])), [], 0, None, None, True, READ_COMMITTED)

    with pytest.raises(UnicodeDecodeError):
        next(theirs)
