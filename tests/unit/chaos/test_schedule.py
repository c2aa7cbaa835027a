"""The schedule comes from the seed alone and uses all faults alike."""

from collections import Counter
from itertools import islice

from tests.chaos.schedule import FAULT_SECONDS, Phase, each_once, phases

NAMES = ["a", "b", "c", "d", "e"]


def drawn(seed: int, count: int = 200) -> list[Phase]:
    return list(islice(phases(NAMES, seed), count))


def test_a_seed_names_a_schedule() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_all_faults_are_used_alike_alone_and_together() -> None:
    steps = [step for phase in drawn(1) for step in phase.steps]
    counts = Counter(step.fault for step in steps)

    assert counts.keys() == set(NAMES)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {len(phase.steps) for phase in drawn(1)} == {1, 2}
    assert all(FAULT_SECONDS[0] <= step.seconds <= FAULT_SECONDS[1] for step in steps)
    assert len({step.seed for step in steps}) == len(steps)


def test_two_at_once_overlap_and_are_two_faults() -> None:
    for phase in drawn(1):
        if len(phase.steps) == 2:
            first, second = phase.steps
            assert first.fault != second.fault
            assert second.after <= first.after + first.seconds


def test_without_faults_there_are_no_phases() -> None:
    assert list(phases([], 1)) == []


def test_each_once_is_in_order() -> None:
    assert [phase.steps[0].fault for phase in each_once(NAMES, 1, quiet=1, seconds=2)] == NAMES
