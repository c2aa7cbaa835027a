"""Watches work from outside, the same way for every program: a counter that grows, and the CPU that went into it."""

import time
from collections.abc import Callable, Mapping

from benchmarks.errors import BenchError
from benchmarks.stats import Sample

LOOK_SECONDS = 0.1  # a hundredth of what is watched; to look costs some milliseconds of CPU


def watch(
    counter: Callable[[], int],
    target: int,
    *,
    look: Callable[[], tuple[Mapping[str, float], int]],
    check: Callable[[], object],
    seconds: float,
) -> list[Sample]:
    """Samples until the counter has reached `target`; `look` gives CPU and memory, `check` raises when a worker died.

    Raises:
        BenchError: the target is not reached in time.
    """
    samples: list[Sample] = []
    deadline = time.monotonic() + seconds
    while True:
        done = counter()
        now = time.monotonic()
        samples.append(Sample(now, done, *look()))
        if done >= target:
            return samples
        check()
        if now > deadline:
            raise BenchError(f"{done} of {target} after {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)
