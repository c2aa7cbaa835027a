"""The group's committed offset moved behind our back, by Kafka's tools or a broker that forgot: nothing follows it."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg.types.json import Jsonb

from processors.kafka_offsets import offset_key, offset_value
from tests.support.cli import run, started
from tests.support.kafka import connect, producer, store
from tests.support.processes import Programs
from tests.support.rewinding import RUN_SECONDS, rewind
from tests.support.traffic import started as call_started
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

FORGOTTEN = 3
CALL = "told"
INTERRUPTED = """
INSERT INTO rewind (group_name, topic, who, arguments, before, target)
VALUES (%s, %s, 'ana@ops1', 'rewind --to-earliest --execute', %s, %s)
"""


async def move(place: Place, offsets: dict[int, int]) -> None:
    """What `kafka-consumer-groups.sh --reset-offsets` does while nobody is in the group."""
    consumer = AIOKafkaConsumer(**connect(place.bootstrap_servers), group_id=place.group, enable_auto_commit=False)
    await consumer.start()
    try:
        wanted = {TopicPartition(place.topics.raw, number): offset for number, offset in offsets.items()}
        consumer.assign(list(wanted))
        await consumer.commit(wanted)
    finally:
        await consumer.stop()


@pytest.mark.parametrize("to", ["back", "forward"])
async def test_processors_go_on_where_they_were_and_correct_what_is_shown(
    place: Place, programs: Programs, to: str
) -> None:
    webhooks = list(traffic(seed=72, calls=300))
    half = len(webhooks) // 2
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks[:half])
    first = programs.processor()
    await processed(place, count)
    assert first.stop() == 0
    before = await committed_offsets(place)

    if to == "back":
        await move(place, {number: FORGOTTEN for number, offset in before.items() if offset > FORGOTTEN})
        count += await store(place.bootstrap_servers, place.topics.raw, webhooks[half:])
    else:
        count += await store(place.bootstrap_servers, place.topics.raw, webhooks[half:])
        await move(place, {number: offset + 1 for number, offset in before.items()})
    assert await committed_offsets(place) != before
    second = programs.processor()

    async def corrected() -> bool:
        return "partition.offset_corrected" in second.log.read_text()

    await until(corrected, what="a corrected offset")
    await processed(place, count)
    await judge(place)


@pytest.fixture
async def outdated(place: Place, programs: Programs) -> dict[int, int]:
    """Processors have stopped, and the broker shows an older offset than their own record, which is returned."""
    webhooks = [*traffic(seed=73, calls=100), call_started(CALL), call_started(CALL)]
    count = await store(place.bootstrap_servers, place.topics.raw, webhooks)
    processor = programs.processor()
    await processed(place, count)
    assert processor.stop() == 0
    own = await committed_offsets(place)
    assert min(own.values()) > FORGOTTEN
    await move(place, dict.fromkeys(own, FORGOTTEN))
    assert await committed_offsets(place) == dict.fromkeys(own, FORGOTTEN)
    return own


def by_partition(document: Any, name: str) -> dict[int, int | None]:
    return {found["partition"]: found[name] for found in document["partitions"]}


async def test_state_commands_tell_the_processors_own_record(programs: Programs, outdated: dict[int, int]) -> None:
    stats, rebuild = [
        (await run(programs.env, "state", command, "-o", "json", expect=0)).json for command in ("stats", "rebuild")
    ]
    for told in (stats, rebuild["plan"]):
        assert by_partition(told, "committed") == outdated


async def test_calls_replay_goes_by_the_processors_own_record(programs: Programs, outdated: dict[int, int]) -> None:
    shown = (await run(programs.env, "calls", "show", CALL, "-o", "json", expect=0)).json

    assert shown["committed"][str(shown["partition"])] == outdated[shown["partition"]]
    assert shown["summary"].endswith("; all processed")
    replayed = await run(programs.env, "calls", "replay", CALL, "--execute", expect=0)
    assert f"1 event of call {CALL} emitted again" in replayed.err


async def test_rewind_log_tells_an_interrupted_rewind_by_the_processors_own_record(
    place: Place, programs: Programs, outdated: dict[int, int]
) -> None:
    before, target = (
        {str(p): offset for p, offset in places.items()} for places in (outdated, dict.fromkeys(outdated, 0))
    )
    with psycopg.connect(place.database_url) as connection:
        connection.execute(INTERRUPTED, [place.group, place.topics.raw, Jsonb(before), Jsonb(target)])

    (entry,) = (await rewind(programs.env, "log", "-o", "json")).json

    assert entry["outcome"] == "interrupted: the offsets are the old ones"


async def test_a_rewind_to_where_the_processors_are_goes_by_their_own_record(
    place: Place, programs: Programs, outdated: dict[int, int]
) -> None:
    billing = f"{place.topics.prefix}billing"
    await move(replace(place, group=billing), dict.fromkeys(outdated, 1))

    arguments = ("--group", billing, "--to-group", place.group)
    plan = (await rewind(programs.env, *arguments, "--topic", place.topics.raw, "-o", "json")).json["plan"]

    assert by_partition(plan, "committed") == dict.fromkeys(outdated, 1)
    assert by_partition(plan, "target") == outdated


async def test_a_rewind_is_followed_by_the_processors_own_record(
    place: Place, programs: Programs, outdated: dict[int, int]
) -> None:
    async with started(programs.env, "rewind", "--to-earliest", "--execute", seconds=RUN_SECONDS) as process:
        assert process.stderr is not None
        heard = b""
        while b"passing again: 0 of" not in heard:
            line = await process.stderr.readline()
            assert line, heard.decode()
            heard += line
        # Processors that pass everything again, at a broker that does not show it.
        assert await committed_offsets(place) == dict.fromkeys(outdated, 0)
        async with producer(place.bootstrap_servers) as processors:
            for number, offset in outdated.items():
                key = offset_key(place.group, TopicPartition(place.topics.raw, number))
                await processors.send_and_wait(place.topics.offset, offset_value(offset), key, partition=number)
        _, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    assert f"passed again: {sum(outdated.values()):,} records" in err.decode()
    assert await committed_offsets(place) == dict.fromkeys(outdated, 0)
