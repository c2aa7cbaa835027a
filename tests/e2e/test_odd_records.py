"""Records that Kafka allows and no client of ours writes: null headers, keys and values, names that are no UTF-8.

With real processes: none stops a partition or ends a command, and what is null stays null.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.consumer import fetcher
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as client
from confluent_kafka import Producer

from runtime import aiokafka_fixes
from schemas.dead_letter import CODE, MESSAGE, STAGE
from tests.support.cli import run
from tests.support.kafka import producer, raw_headers, read_topic
from tests.support.odd_records import OddBatchBuilder, odd_name
from tests.support.processes import Programs
from tests.support.traffic import started
from tests.support.verdict import Place, processed

ODD = odd_name(b"n\xff")
Headers = Sequence[tuple[str, bytes | None]]


def written(call: str, headers: Headers, *, value: bytes | None = b"", key: bytes | None = None) -> dict[str, Any]:
    body = started(call).body if value == b"" else value
    return {"key": call.encode() if key is None else key, "value": body, "headers": list(headers)}


EVENTS = [
    written("null-endpoint", [("endpoint", None), ("traceparent", None)]),
    written("null-last", [*raw_headers("call-started"), ("endpoint", b"nonsense"), ("endpoint", None)]),
    written("odd", [*raw_headers("call-started"), (ODD, b"1"), (ODD, None)]),
    written("after", raw_headers("call-started")),
]
DEAD = [
    written("bad", [("endpoint", None), ("a", None), ("a", b"1"), ("a", None), ("empty", b"")], value=b"no json"),
    written("tombstone", [("request-id", None)], value=None),
]


@pytest.fixture
def odd_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (client, message_accumulator):
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", OddBatchBuilder)
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))  # to put it back
    aiokafka_fixes.apply()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("odd_clients")
async def test_null_headers_keys_and_values_and_odd_names_are_records_like_others(
    place: Place, programs: Programs, tmp_path: Path
) -> None:
    await _write(place, place.topics.raw, [*EVENTS, *DEAD])
    _write_nothing(place, place.topics.raw)
    count = len(EVENTS) + len(DEAD) + 1
    processor = programs.processor()
    await processed(place, count)

    assert processor.running
    calls = await read_topic(place.bootstrap_servers, place.topics.call)
    assert sorted(record.key for record in calls) == sorted(record["key"] for record in EVENTS)
    assert "traceparent" not in {name for record in calls for name, _ in record.headers}
    letters = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    assert len(letters) == len(DEAD) + 1
    bad = next(letter for letter in letters if letter.key == b"bad")
    assert list(bad.headers[:5]) == DEAD[0]["headers"]

    # A foreign writer of dead letters, and tombstones where none should be.
    reasons = [(STAGE, None), (CODE, b"\xff"), (MESSAGE, None), (ODD, None)]
    await _write(place, place.topics.dead_letter, [written("foreign", reasons, value=None)])
    await _write(place, place.topics.call, [written("gone", [("ce_type", None), (ODD, b"1")], value=None)])
    await _every_reader(programs, letter=f"{bad.partition}:{bad.offset}")

    file = tmp_path / "letters.jsonl"
    await run(programs.env, "dead-letters", "export", "--file", str(file), expect=0)
    exported = {line["key"]: line for line in map(orjson.loads, file.read_bytes().splitlines())}
    assert exported["bad"]["headers"] == [["endpoint", None], ["a", None], ["a", "1"], ["a", None], ["empty", ""]]
    repaired = exported["bad"] | {"value": started("bad").body.decode()}
    file.write_bytes(orjson.dumps(repaired))
    await run(programs.env, "dead-letters", "import", str(file), "--execute", expect=0)
    await processed(place, count + 1)
    again = [r for r in await read_topic(place.bootstrap_servers, place.topics.raw) if r.key == b"bad"][-1]
    assert list(again.headers[:-1]) == DEAD[0]["headers"]
    assert again.headers[-1][0] == "imported-from"
    calls = await read_topic(place.bootstrap_servers, place.topics.call)
    assert [record.key for record in calls].count(b"bad") == 1
    # The records whose headers were null go back as they are, too.
    await run(programs.env, "dead-letters", "replay", "--all", "--even-if-still-bad", "--execute", expect=0)


async def _every_reader(programs: Programs, *, letter: str) -> None:
    for command, output in (
        (["dead-letters", "list", "--each"], "table"),
        (["dead-letters", "show", letter], "table"),
        (["dead-letters", "show", letter, "--reveal"], "json"),
        (["calls", "show", "null-endpoint", "--reveal"], "table"),
        (["calls", "show", "odd"], "json"),
        (["tail", "--from-beginning", "--max", "8"], "table"),
        (["tail", "--from-beginning", "--max", "8"], "json"),
        (["rewind", "--to-earliest"], "table"),
        (["erase", "--number", "+33601020304"], "table"),
        (["state", "verify"], "table"),
    ):
        await run(programs.env, *command, "-o", output, expect=0)
    assert (await run(programs.env, "rewind", "--to-earliest", "--diff")).code in (0, 3)
    tail = await run(programs.env, "tail", "--from-beginning", "--max", "8", "-o", "json", "--reveal", expect=0)
    headers = [line["headers"] for line in map(orjson.loads, tail.out.splitlines())]
    assert {"a": None, "empty": ""}.items() <= next(found for found in headers if "empty" in found).items()


async def _write(place: Place, topic: str, records: Sequence[dict[str, Any]]) -> None:
    async with producer(place.bootstrap_servers) as writer:
        for record in records:
            await writer.send_and_wait(topic, **record)


def _write_nothing(place: Place, topic: str) -> None:
    """Neither key nor value, which our own client refuses to send."""
    foreign = Producer({"bootstrap.servers": place.bootstrap_servers})
    foreign.produce(topic, partition=0, headers=[("endpoint", None)])
    assert foreign.flush(30) == 0
