"""Keys go where Java's default partitioner, aiokafka's and librdkafka's would put them."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.placement import murmur2, output_partition, partition_of, spread


@given(st.binary(max_size=600))
@example(b"x" * 513)
@example(b"\xff" * 7)
def test_hash_is_aiokafkas(data: bytes) -> None:
    assert murmur2(data) == murmur2_of_aiokafka(data)


# From Kafka's UtilsTest.testMurmur2, as unsigned numbers.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hash_is_javas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=200), st.integers(1, 50))
def test_partition_is_aiokafkas(key: bytes, count: int) -> None:
    partitions = list(range(count))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, partitions, partitions)


@given(st.binary(max_size=200), st.integers(1, 20), st.integers(1, 5))
def test_a_raw_topic_that_grew_to_a_multiple_sends_each_key_where_it_went_before(
    key: bytes, count: int, times: int
) -> None:
    grown = partition_of(key, range(count * times))

    assert output_partition(grown, count) == partition_of(key, range(count))
    assert partition_of(key, range(spread([count * times, count]))) == partition_of(key, range(count))


@given(st.integers(0, 100), st.integers(1, 100))
def test_every_partition_of_raw_has_one_in_a_topic_of_any_size(source: int, partitions: int) -> None:
    assert output_partition(source, partitions) in range(partitions)
    assert source >= partitions or output_partition(source, partitions) == source
