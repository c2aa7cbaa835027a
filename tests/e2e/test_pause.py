"""Operators pause a group's processors through PostgreSQL; the pause is a lease."""

import re

import psycopg

from processors.pause import CHANNEL
from tests.support.kafka import store
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, judge, processed
from tests.support.waiting import until


async def test_paused_processors_leave_the_group_and_come_back(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=31, calls=300))
    processors = [programs.processor(), programs.processor()]
    for processor in processors:
        await processor.ready()
    await processed(place, count)

    _pause(place, seconds=600)
    for processor in processors:
        await _says(processor, "paused: of the test")
    assert [await _paused(processor) for processor in processors] == [(1, 1), (1, 1)]
    before = await committed_offsets(place)
    count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=32, calls=300))
    assert await committed_offsets(place) == before
    _resume(place)
    await processed(place, count)

    await judge(place)
    for processor in processors:
        await processor.ready()
        assert await _paused(processor) == (0, 1)
        assert processor.stop() == 0


async def test_a_pause_that_nobody_renews_ends_by_itself(place: Place, programs: Programs) -> None:
    _pause(place, seconds=600)
    processor = programs.processor()
    await _says(processor, "paused: of the test")
    _pause(place, seconds=3)  # from now on: how long a processor takes to start is not the question
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=33, calls=50))

    await processed(place, count)

    await judge(place)


async def test_a_paused_processor_stops_on_sigterm(place: Place, programs: Programs) -> None:
    _pause(place, seconds=600)
    processor = programs.processor()
    await _says(processor, "paused")

    assert processor.stop(seconds=10) == 0


def _pause(place: Place, *, seconds: int) -> None:
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO pause VALUES (%s, now() + make_interval(secs => %s), 'of the test') "
            "ON CONFLICT (group_name) DO UPDATE SET until = EXCLUDED.until",
            [place.group, seconds],
        )
        connection.execute(f"NOTIFY {CHANNEL}")


def _resume(place: Place) -> None:
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM pause")
        connection.execute(f"NOTIFY {CHANNEL}")


async def _paused(program: Program) -> tuple[float, ...]:
    """What its metrics say: whether it is paused, and how many pauses it saw."""
    text = await program.metrics()
    return tuple(
        float(value)
        for name in ("ringover_paused", "ringover_pauses_total")
        for value in re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    )


async def _says(program: Program, words: str) -> None:
    async def said() -> bool:
        assert program.running, program.tail()
        return words in (await program.readyz())[1]

    await until(said, what=f"{program.name} says {words}")
