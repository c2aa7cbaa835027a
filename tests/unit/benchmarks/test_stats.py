"""Figures from samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import MIB, NoProgressError, Sample, cpu_per, flatness, medians, paired, percentile, speed


def sample(second: float, done: int, cpu: float = 0.0, resident: int = 0) -> Sample:
    return Sample(second, done, {"program": cpu}, resident)


def test_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]

    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_percentile_is_one_of_the_values_and_enough_of_them_do_not_exceed_it(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9


def test_medians_are_of_the_figures_that_every_round_has() -> None:
    rounds = [{"rate": 1.0, "p99_ms": 5.0}, {"rate": 9.0}, {"rate": 2.0, "p99_ms": 6.0}]

    assert medians(rounds) == {"rate": 2.0}
    assert medians([]) == {}


def test_ratio_is_the_median_of_those_of_each_round_that_both_have() -> None:
    ours = {1: {"rate": 10.0}, 2: {"rate": 40.0}, 3: {"rate": 90.0}, 4: {"rate": 7.0}}
    its = {1: {"rate": 10.0}, 2: {"rate": 20.0}, 3: {"rate": 30.0}, 5: {"rate": 7.0}}

    assert paired(ours, its, "rate") == 2.0
    assert paired(ours, {5: {"rate": 1.0}}, "rate") is None
    assert paired(ours, its, "p99_ms") is None


def test_cpu_is_given_for_100_000() -> None:
    assert cpu_per({"broker": 3.0}, 200_000) == {"cpu_broker": 1.5}


def test_speed_leaves_start_up_out_and_says_how_long_it_took() -> None:
    samples = [sample(10, 0, cpu=1), sample(12, 0, cpu=2), sample(13, 400, cpu=3), sample(14, 1000, cpu=4)]

    figures = speed(samples, began=8)

    assert figures["rate"] == 500
    assert figures["startup_seconds"] == 4
    assert figures["seconds"] == 6
    assert figures["rate_from_start"] == pytest.approx(1000 / 6)
    assert figures["cpu_program"] == 200


def test_speed_of_the_second_half_begins_at_half_of_the_records() -> None:
    samples = [sample(0, 0), sample(4, 400), sample(6, 600), sample(7, 1000)]

    assert speed(samples, began=0)["rate_second_half"] == 400


def test_speed_knows_the_most_memory() -> None:
    samples = [sample(0, 0, resident=50 * MIB), sample(1, 5, resident=80 * MIB), sample(2, 9, resident=60 * MIB)]

    assert speed(samples, began=0)["most_mib"] == 80


def test_work_that_had_begun_before_the_first_look_counts_from_there() -> None:
    assert speed([sample(5, 100), sample(6, 300)], began=0)["rate"] == 200


def test_work_that_nobody_saw_is_no_result() -> None:
    with pytest.raises(NoProgressError):
        speed([sample(5, 300)], began=0)


def test_flat_series_has_flatness_one_and_a_growing_one_more() -> None:
    assert flatness([100.0] * 40) == 1
    assert flatness([50.0] * 10 + [100.0] * 10 + [120.0] * 10 + [150.0] * 10) == 1.5
    assert flatness([1.0, 2.0]) == 1
