"""Watching work from outside."""

from itertools import count

import pytest

from benchmarks import watch
from benchmarks.errors import BenchError


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)


def look() -> tuple[dict[str, float], int]:
    return {"program": 1.0}, 7


def alive() -> None:
    """Nobody has died."""


def test_watching_ends_at_the_target() -> None:
    steps = iter([0, 0, 3, 9, 12])

    samples = watch.watch(lambda: next(steps), 9, look=look, check=alive, seconds=5)

    assert [sample.done for sample in samples] == [0, 0, 3, 9]
    assert samples[0].cpu == {"program": 1.0}
    assert samples[0].resident == 7


def test_worker_that_dies_ends_it() -> None:
    steps = count()

    def check() -> None:
        if next(steps) == 2:
            raise BenchError("it died")

    with pytest.raises(BenchError, match="it died"):
        watch.watch(lambda: 0, 9, look=look, check=check, seconds=5)


def test_target_that_is_not_reached_in_time_is_a_failure() -> None:
    with pytest.raises(BenchError, match="4 of 9 after 0 s"):
        watch.watch(lambda: 4, 9, look=look, check=alive, seconds=0)
