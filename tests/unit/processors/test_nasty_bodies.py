"""One nasty body among many must not hold its partition: normalizing it costs about what parsing it does."""

import gc
import time
from collections.abc import Callable, Iterator

import orjson
import pytest

from processors.normalize import normalize
from tests.support.broker import StoredRecord
from tests.support.kafka import raw_headers

SIZE = 1024 * 1024
PLAIN = b'"' + b"x" * SIZE + b'"'
PARSINGS, PLAIN_RECORDS = 4, 40  # a loop over bytes in Python took 10 parsings and 200 plain records


def many(piece: bytes) -> bytes:
    """An array of `piece`, 1 MiB long."""
    return b"[" + (piece + b",") * (SIZE // (len(piece) + 1)) + b"0]"


FILLERS = {
    "empty arrays": many(b"[]"),
    "arrays 30 deep": many(b"[" * 30 + b"]" * 30),
    "arrays 1000 deep": many(b"[" * 1000 + b"]" * 1000),
    "small objects": many(b'{"id":"1234","name":"abcdefgh","n":12}'),
    "objects with empty names": many(b'{"":[]}'),
    "escaped quotes": b'["' + b'\\"' * (SIZE // 2) + b'"' + b",[]" * 40 + b"]",
    "escaped backslashes": b'["' + b"\\\\" * (SIZE // 2) + b'"' + b",[]" * 40 + b"]",
    "many names": b"{" + b",".join(b'"k%06d":0' % number for number in range(SIZE // 12)) + b"}",
    "one name many times": b"{" + b'"":0,' * (SIZE // 5) + b'"":0}',
    "a number of a million digits": b"1" * SIZE,
    "a fraction of a million digits": b"0." + b"1" * SIZE,
    "numbers beyond 64 bits": many(b"123456789012345678901234567890"),
    "surrogate pairs": b'"' + b"\\ud83d\\udcde" * (SIZE // 12) + b'"',
    "spaces": b" " * SIZE + b"0",
}


def body(filler: bytes) -> bytes:
    head = b'{"event":"call.ended","timestamp":"2026-01-02T15:05:12.000Z","call":{"id":"a","duration_sec":1,'
    return head + b'"hangup_cause":"n","disposition":"d"},"x":' + filler + b"}"


BODIES = {name: body(filler) for name, filler in FILLERS.items()} | {
    "a timestamp of a million digits": body(b"0").replace(b"12.000Z", b"12." + b"0" * SIZE + b"Z"),
    "an id of a million characters": body(b"0").replace(b'"a"', b'"' + b"a" * SIZE + b'"'),
    "no JSON": b"\xff" * SIZE,
    "JSON that breaks off": PLAIN[:-1],
    "an array": many(b"0"),
}


@pytest.fixture(autouse=True)
def without_garbage_collection() -> Iterator[None]:
    """As in the processor, which collects rarely."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def seconds(run: Callable[[], object]) -> float:
    """CPU time of the quickest of three runs."""
    times = []
    for _ in range(3):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def normalizing(value: bytes) -> float:
    record = StoredRecord(0, 0, b"a", value, raw_headers("call-ended"))
    return seconds(lambda: normalize(record, source="topic/0"))


def parsing(value: bytes) -> float:
    def parse() -> None:
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return

    return seconds(parse)


@pytest.mark.parametrize("name", BODIES)
def test_nasty_body_costs_about_what_parsing_it_does(name: str) -> None:
    limit = PARSINGS * parsing(BODIES[name]) + PLAIN_RECORDS * normalizing(body(PLAIN))

    assert normalizing(BODIES[name]) < limit
