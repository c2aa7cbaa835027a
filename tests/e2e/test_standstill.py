"""A partition that stands still: the others go on, everybody who looks is told, and it goes on by itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.conftest import TEST_PARTITIONS
from tests.support.cli import run
from tests.support.kafka import connect, read_topic, store
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until

FAILS = 0
LOOKS = 4  # tries that fail, while the others go on


@pytest.mark.parametrize(
    ("step", "error"),
    [("record", "UnicodeEncodeError"), ("claim", "KeyError"), ("cancelled", "CancelledError")],
)
async def test_an_unexpected_error_stays_in_its_partition(
    place: Place, programs: Programs, tmp_path: Path, step: str, error: str
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    processor = _failing(programs, step, broken)
    first, later = list(traffic(seed=61, calls=60)), list(traffic(seed=62, calls=60))
    count = await store(place.bootstrap_servers, place.topics.raw, first)
    await _named(processor, error)
    count += await store(place.bootstrap_servers, place.topics.raw, later)
    await _others_processed(place)
    events = await read_topic(place.bootstrap_servers, place.topics.call)
    assert {record.partition for record in events} == set(range(TEST_PARTITIONS)) - {FAILS}

    async def tried_again() -> bool:
        metrics = await processor.metrics()
        found = re.search(r'^ringover_retries_total\{cause="unexpected"\} (\S+)$', metrics, re.MULTILINE)
        return found is not None and float(found[1]) > LOOKS

    await until(tried_again, what="more tries")
    assert processor.running
    log = processor.log.read_text()
    assert log.count('"exception"') == 1
    assert [webhook.key for webhook in (*first, *later) if webhook.key in log] == []
    assert f'ringover_partition_problem{{kind="unexpected",partition="{FAILS}"}} 1.0' in await processor.metrics()
    told = await until(lambda: _told(programs), what="a row of the problem")
    assert told["problem"].startswith(f"unexpected {error} at ")
    assert str(processor.process.pid) in told["processor"]
    shown = await run(programs.env, "lag", expect=0)
    assert f"partition {FAILS} stands still since " in shown.out
    assert told["problem"] in shown.out
    top = await run(programs.env, "top", "--once", expect=0)
    assert f"partition {FAILS} stands still since " in top.out

    broken.unlink()
    await processed(place, count)
    await judge(place)
    await _well(programs, processor)


@pytest.mark.parametrize("step", ["probe", "member"])
async def test_an_unexpected_error_beside_the_partitions_is_named_and_ends_no_process(
    place: Place, programs: Programs, tmp_path: Path, step: str
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    processor = _failing(programs, step, broken)

    async def named() -> bool:
        assert processor.running, processor.tail()
        return "unexpected AssertionError at " in (await processor.readyz())[1]

    await until(named, what="the error in /readyz")
    broken.unlink()
    await processor.ready()
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=66, calls=60))
    await processed(place, count)
    await judge(place)


async def test_a_failing_partition_that_moves_to_a_working_processor_is_told_of_no_more(
    place: Place, programs: Programs, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    failing = _failing(programs, "record", broken)
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=63, calls=60))
    await _named(failing, "UnicodeEncodeError")
    await until(lambda: _told(programs), what="a row of the problem")
    failing.kill()
    assert (await _told(programs))["processor"].endswith(f"-{failing.process.pid}")

    working = programs.processor()
    await processed(place, count)

    await judge(place)
    await _well(programs, working)


async def test_a_partition_that_refuses_stands_still_alone_and_goes_on_after_the_remedy(
    place: Place, programs: Programs
) -> None:
    first = programs.processor()
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=64, calls=100))
    await processed(place, count)
    assert first.stop() == 0
    before = await committed_offsets(place)
    await store(place.bootstrap_servers, place.topics.raw, traffic(seed=65, calls=100))
    kept = before[FAILS] + 5
    await _remove_records(place, FAILS, before=kept)

    second = programs.processor()
    words = f"records {before[FAILS]} to {kept - 1} were removed by retention"
    await _named(second, words)
    await _others_processed(place)
    told = await until(lambda: _told(programs), what="a row of the problem")
    assert words in told["problem"]
    assert (await committed_offsets(place))[FAILS] == before[FAILS]
    assert f'ringover_partition_problem{{kind="refused",partition="{FAILS}"}} 1.0' in await second.metrics()

    where = ("--topic", f"{place.topics.raw}:{FAILS}", "--to-offset", str(kept))
    await run(programs.env, "rewind", *where, "--skip-unprocessed", "--execute", expect=0)

    await _others_processed(place, but=None)
    assert second.running
    await _well(programs, second)


async def _others_processed(place: Place, *, but: int | None = FAILS) -> None:
    """Wait until every partition but one is committed to its end."""
    consumer = AIOKafkaConsumer(**connect(place.bootstrap_servers))
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [TopicPartition(place.topics.raw, number) for number in range(TEST_PARTITIONS)]
        )
    finally:
        await consumer.stop()
    wanted = {place.partition: end for place, end in ends.items() if place.partition != but}

    async def done() -> bool:
        found = await committed_offsets(place)
        return all(found.get(number, 0) >= end for number, end in wanted.items())

    await until(done, seconds=60, what="the other partitions")


def _failing(programs: Programs, step: str, file: Path) -> Program:
    return programs.processor(
        module="tests.support.failing_processor",
        FAILING_PARTITION=str(FAILS),
        FAILING_STEP=step,
        FAILING_FILE=str(file),
    )


async def _named(processor: Program, words: str) -> None:
    """Wait until /readyz names the partition with these words."""

    async def named() -> bool:
        assert processor.running, processor.tail()
        status, text = await processor.readyz()
        return status == 503 and f"partition {FAILS}: " in text and words in text

    await until(named, what=f"{words} in /readyz")


async def _told(programs: Programs) -> Any:
    """What `lag` says of the partition that fails."""
    found = json.loads((await run(programs.env, "lag", "-o", "json", expect=0)).out)
    others = [item["standstill"] for item in found["partitions"] if item["partition"] != FAILS]
    assert others == [None] * (TEST_PARTITIONS - 1)
    return found["partitions"][FAILS]["standstill"]


async def _well(programs: Programs, processor: Program) -> None:
    """Wait until nothing is told of any partition."""
    await processor.ready()

    async def well() -> bool:
        told = await _told(programs)
        return told is None and "ringover_partition_problem{" not in await processor.metrics()

    await until(well, what="no problem any more")


async def _remove_records(place: Place, partition: int, *, before: int) -> None:
    admin = AIOKafkaAdminClient(**connect(place.bootstrap_servers))
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(place.topics.raw, partition): RecordsToDelete(before)})
    finally:
        await admin.close()
