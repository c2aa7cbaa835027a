"""Thousands of schedules of crashes, frozen processes, lost answers, rollbacks and rewinds: each event once per pass.

SIMULATION_SCHEDULES sets how many (2,000); SIMULATION_BYTES how long each is (170 decisions).
"""

import os
import time
from collections import Counter

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.simulation.judge import judge
from tests.simulation.schedule import EVERY_FAULT, Schedule
from tests.simulation.virtual_time import virtual_loop
from tests.simulation.world import World

SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "2000"))
BYTES = int(os.environ.get("SIMULATION_BYTES", "170"))
# The same ones in every run of `make check`; `make simulate` looks for others.
DERANDOMIZED = "SIMULATION_SCHEDULES" not in os.environ
# Seeing that something fails is enough for the mutations; a person wants the shortest schedule that does.
PHASES = (Phase.generate,) if "SIMULATION_NO_SHRINKING" in os.environ else tuple(Phase)


def simulate(decisions: bytes, tally: Counter[str]) -> None:
    with virtual_loop() as loop:
        world = World(loop, Schedule(decisions), tally)
        try:
            world.run()
            judge(world)
        except BaseException:
            note("\n".join(world.trace))
            raise


@pytest.mark.timeout(900)  # on a machine that does ten other things; alone it takes some 12 s
def test_every_schedule_gives_each_event_once_per_pass(capsys: pytest.CaptureFixture[str]) -> None:
    tally: Counter[str] = Counter()

    @settings(
        max_examples=SCHEDULES,
        deadline=None,
        database=None,
        derandomize=DERANDOMIZED,
        phases=PHASES,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=BYTES, max_size=BYTES))
    def any_schedule(decisions: bytes) -> None:
        tally["schedules"] += 1
        simulate(decisions, tally)

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    began = time.perf_counter(), time.process_time()
    try:
        any_schedule()
    finally:
        structlog.reset_defaults()
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]

    with capsys.disabled():
        print(figures(tally, seconds, cpu_seconds))  # noqa: T201 - the figures of the run
    rarest = min(EVERY_FAULT, key=lambda fault: tally[fault])
    assert tally[rarest] >= SCHEDULES // 500, f"{rarest} happened only {tally[rarest]} times"


def figures(tally: Counter[str], seconds: float, cpu_seconds: float) -> str:
    schedules, steps = tally.pop("schedules"), tally.pop("steps")
    rate = f"{schedules / cpu_seconds:,.0f} schedules per second of CPU"
    first = f"{schedules:,} schedules, {steps:,} steps in {seconds:.1f} s ({cpu_seconds:.1f} s of CPU): {rate}"
    return "\n".join(["", first, *(f"{count:8,} {name}" for name, count in sorted(tally.items()))])
