"""What the processor's metrics tell of a partition that fails, and of one that recovers."""

import re
from pathlib import Path

import pytest

from tests.support.kafka import store
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

FAILS = 0
LOOKS = 5  # that find the partition failing; it is tried again between them


@pytest.mark.parametrize("step", ["start", "commit"])
async def test_lag_of_a_partition_that_fails_grows(place: Place, programs: Programs, tmp_path: Path, step: str) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    processor = programs.processor(
        module="tests.support.failing_processor",
        FAILING_PARTITION=str(FAILS),
        FAILING_STEP=step,
        FAILING_FILE=str(broken),
    )
    await until(lambda: _looked(processor), what="a look at the lag")
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=41, calls=60))

    seen: list[float] = []

    async def grown() -> bool:
        seen.append((await _lag(processor)).get(FAILS, 0.0))
        return seen[-1] > 0 and len(set(seen)) > LOOKS

    await until(grown, what=f"a lag that {LOOKS} looks find")

    assert seen == sorted(seen)  # never 0 again
    assert {lag for partition, lag in (await _lag(processor)).items() if partition != FAILS} == {0}
    broken.unlink()
    await processed(place, count)
    await until(lambda: _caught_up(processor), what="no lag")
    await judge(place)


async def _lag(processor: Program) -> dict[int, float]:
    assert processor.running, processor.tail()
    found = re.findall(
        r'^ringover_consumer_lag_seconds\{partition="(\d+)"\} (\S+)$', await processor.metrics(), re.MULTILINE
    )
    return {int(partition): float(lag) for partition, lag in found}


async def _looked(processor: Program) -> bool:
    return bool(await _lag(processor))


async def _caught_up(processor: Program) -> bool:
    lag = await _lag(processor)
    return FAILS in lag and set(lag.values()) == {0}
