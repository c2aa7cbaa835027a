"""Computes figures from samples: medians, percentiles, speeds. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024
PER = 100_000  # CPU seconds are given for so many records or requests

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Holds what was seen at one moment.

    `done` records of a whole; `cpu`: seconds used so far by each process tree; `resident` bytes of the program.
    """

    second: float
    done: int
    cpu: Mapping[str, float]
    resident: int = 0


class NoProgressError(ValueError):
    """Says that the samples do not show any work."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure that every round has."""
    names = [name for name in rounds[0] if all(name in figures for figures in rounds)] if rounds else []
    return {name: statistics.median(figures[name] for figures in rounds) for name in names}


def paired(ours: Mapping[int, Figures], its: Mapping[int, Figures], name: str) -> float | None:
    """The median, over the rounds that both have, of ours by its; None when there is none.

    Programs of one round stand beside each other in time, so what the machine did meanwhile hardly matters.
    """
    both = [number for number in ours if number in its and name in ours[number] and its[number].get(name)]
    return statistics.median(ours[number][name] / its[number][name] for number in both) if both else None


def cpu_per(used: Mapping[str, float], count: int) -> Figures:
    """CPU seconds for each 100,000 of `count`."""
    return {f"cpu_{name}": seconds / count * PER for name, seconds in used.items()}


def speed(samples: Sequence[Sample], began: float) -> Figures:
    """Measure how fast the work that `samples` show was; `began` is when the process was started.

    `rate`: from the last sample that shows no work yet, so without start-up. `rate_from_start`: with it.
    `rate_second_half`: the later half of the records alone, where a JVM is warm. CPU is of the time of `rate`.

    Raises:
        NoProgressError: the samples show no work, or show it only when it was over.
    """
    first = next((sample for sample in reversed(samples) if sample.done == 0), samples[0])
    last = samples[-1]
    if last.done == first.done:
        raise NoProgressError("the work was over before it could be measured: use more records")
    half = next(sample for sample in samples if sample.second >= first.second and sample.done >= last.done / 2)
    figures = {
        "records": float(last.done),
        "seconds": last.second - began,
        "startup_seconds": first.second - began,
        "rate": _rate(first, last),
        "rate_from_start": last.done / (last.second - began),
        "most_mib": max(sample.resident for sample in samples) / MIB,
        **cpu_per({name: last.cpu[name] - first.cpu[name] for name in last.cpu}, last.done - first.done),
    }
    if half.done < last.done:
        figures["rate_second_half"] = _rate(half, last)
    return figures


def flatness(values: Sequence[float]) -> float:
    """Measure how much a series has grown: the median of its last quarter by that of its second; 1 for a short one."""
    quarter = len(values) // 4
    if quarter == 0:
        return 1.0
    return statistics.median(values[-quarter:]) / statistics.median(values[quarter : 2 * quarter])


def _rate(first: Sample, last: Sample) -> float:
    return (last.done - first.done) / (last.second - first.second)
