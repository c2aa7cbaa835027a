"""Produce requests: the bytes are those of aiokafka's codec, which is written from the protocol's schemas."""

import struct
from io import BytesIO

from aiokafka.protocol.produce import ProduceRequest, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from ingress.kafka.wire import Produce, Topics

NAMES = st.text("abc.é", min_size=1, max_size=12)
PARTITIONS = st.integers(0, 2**31 - 1)
TOPICS = st.lists(st.tuples(NAMES, st.lists(st.tuples(PARTITIONS, st.binary(max_size=40).map(bytearray)), max_size=4)))
INT64 = st.integers(-(2**63), 2**63 - 1)
ANSWERS = st.lists(st.tuples(NAMES, st.lists(st.tuples(PARTITIONS, st.integers(-1, 120), INT64, INT64, INT64))))


def versions(newest: int) -> dict[int, tuple[int, int]]:
    return {ProduceRequest.API_KEY: (0, newest)}


@given(TOPICS, st.integers(-1, 1), st.integers(0, 2**31 - 1))
def test_request_is_aiokafkas_byte_for_byte(topics: Topics, acks: int, milliseconds: int) -> None:
    for newest in (9, 7, 6, 3, 2, 0):
        ours = Produce(acks, milliseconds, topics).prepare(versions(newest))
        theirs = ProduceRequest(None, acks, milliseconds, topics).prepare(versions(newest))

        assert ours.API_VERSION == theirs.API_VERSION == min(newest, 7)
        assert ours.encode() == theirs.encode()


@given(ANSWERS, st.integers(0, 2**31 - 1))
def test_answer_is_read_as_aiokafka_reads_it(
    topics: list[tuple[str, list[tuple[int, int, int, int, int]]]], throttled: int
) -> None:
    sent = ProduceResponse_v7(topics, throttled).encode()
    response = Produce(-1, 1000, []).prepare(versions(7)).RESPONSE_TYPE

    for answer in (response.decode(sent), response.decode(BytesIO(sent))):
        assert answer == ProduceResponse_v7.decode(sent)


def test_answer_after_its_header_is_read() -> None:
    request = Produce(-1, 1000, []).prepare(versions(7))
    frame = BytesIO(struct.pack(">i", 4711) + ProduceResponse_v7([("t", [(3, 6, -1, -1, -1)])], 0).encode())

    assert request.parse_response_header(frame).correlation_id == 4711
    assert request.RESPONSE_TYPE.decode(frame).topics == [("t", [(3, 6, -1, -1, -1)])]
