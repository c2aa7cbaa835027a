"""`rewind --execute` when its tool is killed at any step, and when a processor comes back from the dead."""

import signal
from pathlib import Path

import psycopg
import pytest

from tests.support.cli import started
from tests.support.kafka import store
from tests.support.processes import Program, Programs
from tests.support.rewinding import RUN_SECONDS, Pass, judge_passes, rewind, whole_pass
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, processed
from tests.support.waiting import until

OLD, NEW = "old", "new"
# The step at which the tool is killed, and the offsets that the processors must find afterwards.
STEPS = [
    ("after:take", OLD),
    ("after:wait_until_empty", OLD),
    ("after:take_over", OLD),
    ("after:verify", OLD),
    ("after:note", OLD),
    ("inside:commit", OLD),
    ("after:commit", NEW),
    ("after:move", NEW),
    ("after:finish", NEW),
]
FAULTY = "tests.support.faulty_rewind"


@pytest.mark.timeout(150)
async def test_a_killed_tool_leaves_all_old_or_all_new_offsets(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=51, calls=250))
    for _ in range(2):
        programs.processor()
    await processed(place, count)
    ends = await committed_offsets(place)
    passes: list[Pass] = [whole_pass(dict.fromkeys(ends))]

    for number, (point, offsets) in enumerate(STEPS):
        ran = await rewind(
            {**programs.env, "FAULT_POINT": point}, "--to-earliest", "--execute", module=FAULTY, expect=None
        )
        assert ran.code == -signal.SIGKILL, f"{point}: {ran.code} {ran.err}"
        # Nobody helps: the lease ends by itself. A few more webhooks prove that the processors work again.
        await until(lambda: _lease_over(place), what="the end of the lease")
        more = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=60 + number, calls=3, garbage=0))
        count += more
        await processed(place, count)
        before = ends
        ends = await committed_offsets(place)
        if offsets == NEW:
            passes[-1] = {partition: (passes[-1][partition][0], before[partition]) for partition in before}
            passes.append(whole_pass(dict.fromkeys(ends)))
        await judge_passes(place, passes)

    log = (await rewind(programs.env, "log", "-o", "json")).json
    outcomes = [entry["outcome"] for entry in reversed(log)]
    assert len(outcomes) == len([point for point, _ in STEPS]) - 4
    assert outcomes[-1] == "offsets moved"
    assert all(outcome.startswith("interrupted: ") for outcome in outcomes[:-1])
    assert await _lease_over(place)


async def _lease_over(place: Place) -> bool:
    with psycopg.connect(place.database_url) as connection:
        return connection.execute("SELECT count(*) FROM pause WHERE until > now()").fetchone() == (0,)


async def test_a_processor_that_was_frozen_before_a_rewind_changes_nothing_after_it(
    place: Place, programs: Programs
) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=52, calls=400))
    zombie = programs.processor(
        module="tests.support.faulty_processor",
        FAULT_POINT="sent",
        FAULT_SIGNAL="STOP",
        FAULT_AT="5",
        PROCESSOR_BATCH_RECORDS="100",
    )

    async def frozen() -> bool:
        return zombie.frozen

    await until(frozen, what="the frozen processor")
    before = await committed_offsets(place)
    assert 0 < sum(before.values()) < count

    ran = await rewind(programs.env, "--to-earliest", "--execute", "--no-wait", "-o", "json")

    old = {item["partition"]: item["committed"] for item in ran.json["result"]["partitions"]}
    assert set(await committed_offsets(place)) >= {p for p, offset in old.items() if offset is not None}
    assert sum((await committed_offsets(place)).values()) == 0
    programs.processor()
    await processed(place, count)
    zombie.send_signal(signal.SIGCONT)
    await _rejoined(zombie)
    count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=53, calls=100))
    await processed(place, count)
    await judge_passes(
        place, [whole_pass({p: offset or 0 for p, offset in old.items()}), whole_pass(dict.fromkeys(old))]
    )


async def test_a_tool_that_was_frozen_for_longer_than_its_lease_touches_nothing(
    place: Place, programs: Programs
) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=54, calls=200))
    programs.processor()
    await processed(place, count)
    ends = await committed_offsets(place)
    env = {**programs.env, "FAULT_POINT": "after:note", "FAULT_SIGNAL": "STOP"}
    async with started(env, "rewind", "--to-earliest", "--execute", module=FAULTY, seconds=RUN_SECONDS) as tool:
        await until(lambda: _frozen(tool.pid), what="the frozen tool")
        await until(lambda: _lease_over(place), what="the end of the lease")
        count += await store(place.bootstrap_servers, place.topics.raw, traffic(seed=55, calls=20))
        await processed(place, count)

        tool.send_signal(signal.SIGCONT)
        _, err = await tool.communicate()

    assert tool.returncode == 6
    assert b"the pause ran out" in err
    await judge_passes(place, [whole_pass(dict.fromkeys(ends))])


async def _frozen(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"  # noqa: ASYNC240 - no disk


async def _rejoined(zombie: Program) -> None:
    """The zombie has found out, and was given partitions anew."""

    async def again() -> bool:
        assert zombie.running, zombie.tail()
        return zombie.log.read_text().count('"partitions.assigned"') >= 2

    await until(again, seconds=60, what="the zombie to join the group again")
