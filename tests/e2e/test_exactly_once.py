"""The guarantee with real processes: duplicates, crashes, zombies, rebalances, a wiped database."""

import asyncio
import signal

import psycopg
import pytest

from tests.support.faulty_processor import POINTS
from tests.support.kafka import Webhook, store
from tests.support.processes import Program, Programs
from tests.support.traffic import ended, recording, started, traffic
from tests.support.verdict import Place, committed_offsets, duplicates_counted, judge, processed
from tests.support.waiting import until

FAULTY = "tests.support.faulty_processor"


async def _store(place: Place, webhooks: list[Webhook]) -> int:
    return await store(place.bootstrap_servers, place.topics.raw, webhooks)


async def test_duplicates_in_one_batch_across_batches_and_across_processors(place: Place, programs: Programs) -> None:
    first = [started("a"), started("a"), ended("a"), recording("a", "r1"), recording("a", "r1", second=99)]
    count = await _store(place, first)
    processor = programs.processor()
    await processed(place, count)
    count += await _store(place, [started("a"), ended("a", duration=61), recording("a", "r2")])
    await processed(place, count)
    assert processor.stop() == 0

    programs.processor()
    count += await _store(place, [ended("a"), recording("a", "r1")])
    await processed(place, count)

    model = await judge(place)
    assert len(model.events) == 4
    assert duplicates_counted(place) == model.duplicates == 6
    assert model.conflicts == 1


async def test_ids_with_colons_never_share_a_claim(place: Place, programs: Programs) -> None:
    count = await _store(place, [recording("a:b", "c"), recording("a", "b:c"), started("x:y"), started("x%3Ay")])
    programs.processor()
    await processed(place, count)

    assert len((await judge(place)).events) == 4


@pytest.mark.parametrize("point", [point for point in POINTS if point != "revoked"])  # one processor, no rebalance
async def test_a_crash_at_any_point_loses_nothing_and_repeats_nothing(
    place: Place, programs: Programs, point: str
) -> None:
    count = await _store(place, list(traffic(seed=1, calls=800)))
    crashing = programs.processor(
        module=FAULTY, FAULT_POINT=point, FAULT_SIGNAL="KILL", FAULT_AT="2", PROCESSOR_BATCH_RECORDS="100"
    )
    await _ended(crashing)
    assert crashing.process.returncode == -signal.SIGKILL
    assert sum((await committed_offsets(place)).values()) < count

    programs.processor()
    await processed(place, count)

    await judge(place)


@pytest.mark.parametrize("point", ["claimed", "sent"])
async def test_a_frozen_zombie_produces_nothing(place: Place, programs: Programs, point: str) -> None:
    count = await _store(place, list(traffic(seed=2, calls=800)))
    zombie = programs.processor(
        module=FAULTY, FAULT_POINT=point, FAULT_SIGNAL="STOP", FAULT_AT="2", PROCESSOR_BATCH_RECORDS="100"
    )
    await _frozen(zombie)

    programs.processor()
    await processed(place, count)
    before = await committed_offsets(place)
    zombie.send_signal(signal.SIGCONT)
    await _rejoined(zombie)
    assert (await committed_offsets(place)) == before
    count += await _store(place, list(traffic(seed=3, calls=200)))
    await processed(place, count)

    await judge(place)


async def test_partitions_move_between_processors_under_load(place: Place, programs: Programs) -> None:
    webhooks = list(traffic(seed=4, calls=3000))
    programs.processor(PROCESSOR_BATCH_RECORDS="50")
    await programs.all[0].ready()
    loading = asyncio.create_task(_store(place, webhooks))
    second = programs.processor(PROCESSOR_BATCH_RECORDS="50")
    await second.ready()
    await _logged(second, '"partitions.assigned"')
    third = programs.processor(PROCESSOR_BATCH_RECORDS="50")
    await third.ready()
    await _logged(third, '"partitions.assigned"')
    assert second.stop() == 0
    programs.all[0].kill()
    count = await loading
    await processed(place, count)

    await judge(place)


async def test_a_wiped_database_is_healed_from_raw(place: Place, programs: Programs) -> None:
    count = await _store(place, list(traffic(seed=5, calls=500)))
    first = programs.processor()
    await processed(place, count)
    assert first.stop() == 0
    duplicates = duplicates_counted(place)
    with psycopg.connect(place.database_url) as connection:
        connection.execute("TRUNCATE claim, progress, conflict")

    programs.processor()
    count += await _store(place, list(traffic(seed=5, calls=500)))  # every one a duplicate of what was lost
    await processed(place, count)

    model = await judge(place)
    assert duplicates_counted(place) == model.duplicates > 2 * duplicates


async def test_sigterm_drains_and_exits_0_within_10_seconds(place: Place, programs: Programs) -> None:
    processor = programs.processor(PROCESSOR_BATCH_RECORDS="50")
    await processor.ready()
    count = await _store(place, list(traffic(seed=6, calls=2000)))

    assert processor.stop(seconds=10) == 0

    programs.processor()
    await processed(place, count)
    await judge(place)


async def _ended(program: Program) -> None:
    async def over() -> bool:
        return not program.running

    await until(over, what=f"the end of {program.name}")


async def _frozen(program: Program) -> None:
    async def stopped() -> bool:
        assert program.running, program.tail()
        return program.frozen

    await until(stopped, what=f"{program.name} frozen")


async def _logged(program: Program, text: str) -> None:
    async def seen() -> bool:
        assert program.running, program.tail()
        return text in program.log.read_text()

    await until(seen, what=f"{text} in the log of {program.name}")


async def _rejoined(zombie: Program) -> None:
    """The zombie has found out: it was given partitions anew after it had been told to let go or was fenced."""

    async def again() -> bool:
        assert zombie.running, zombie.tail()
        return zombie.log.read_text().count('"partitions.assigned"') >= 2

    await until(again, seconds=60, what="the zombie to join the group again")
