"""Measures growth: what a record costs with more processors, with a larger table of claims, with more partitions.

One round each: these are shown as curves, and the cost is CPU seconds, which neighbours do not change.
"""

import functools
from collections.abc import Callable

from benchmarks.bench import Bench, Row, Subject, attempt
from benchmarks.parts.processor import TEMPLATE, Backlog, fill, ours, passed, place_of, prepare_claims
from benchmarks.programs import processor
from benchmarks.stats import Figures

PROCESSORS = (1, 2, 4)
PARTITIONS = (1, 4, 12, 48)
USUAL_PARTITIONS = 12
LARGE = "bench_large"  # the database that grows


def run(bench: Bench) -> dict[str, object]:
    """Measure all three; the largest table last, since it takes the disk."""
    prepare_claims(bench)
    rows = [
        *(_processors(bench, count) for count in PROCESSORS),
        *(_partitions(bench, count) for count in PARTITIONS),
        *(_claims(bench, count) for count in bench.plan.growth_claims),
    ]
    bench.databases.drop(LARGE)
    return {"rows": [row.as_json() for row in rows]}


def backlog_of(bench: Bench, partitions: int) -> Backlog:
    """Describe a backlog with so many partitions."""
    return fill(bench, Backlog(f"growth{partitions}.", bench.plan.growth_records, partitions))


def _processors(bench: Bench, count: int) -> Row:
    def run_round(_number: int) -> Figures:
        backlog = backlog_of(bench, USUAL_PARTITIONS)
        with bench.databases.copy(TEMPLATE, "bench_growth") as url:
            place = place_of(bench, backlog, url, f"processors-{count}")
            starts = [functools.partial(processor, place, f"processor-{number}") for number in range(count)]
            return passed(bench, backlog, place.group, place.outputs, *starts).figures

    return _row(bench, "processors", count, f"{count} processor(s)", run_round)


def _partitions(bench: Bench, count: int) -> Row:
    def run_round(_number: int) -> Figures:
        return ours(bench, backlog_of(bench, count), f"partitions-{count}")

    return _row(bench, "partitions", count, f"{count} partition(s)", run_round)


def _claims(bench: Bench, count: int) -> Row:
    def run_round(_number: int) -> Figures:
        prepare_claims(bench, count, LARGE)
        backlog = backlog_of(bench, USUAL_PARTITIONS)
        return ours(bench, backlog, f"claims-{count}", LARGE)

    return _row(bench, "claims", count, f"{count:,} claims before", run_round)


def _row(bench: Bench, axis: str, at: int, title: str, run_round: Callable[[int], Figures]) -> Row:
    row = Row(f"{axis}-{at}", title, ours=True, at={"axis": axis, "value": at})
    attempt(bench, row, Subject(row.name, title, True, run_round), 1, 1)
    return row
