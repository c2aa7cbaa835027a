"""Measures going back: a log passed again after `ringover-ops rewind`, its claims made anew by `state rebuild`."""

import functools
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks import workload
from benchmarks.bench import Bench, Row, Subject, attempt, resident
from benchmarks.children import check_all, wait_until
from benchmarks.cpu import tree_cpu
from benchmarks.errors import BenchError
from benchmarks.parts.processor import TEMPLATE, Backlog, fill, place_of, prepare_claims, require_each_once
from benchmarks.programs import Place, background, processor
from benchmarks.stats import Figures, Sample, speed
from benchmarks.watch import watch
from sandbox.devstack.processes import Child

SECONDS = 600.0
START_SECONDS = 90.0


def rewind(bench: Bench) -> dict[str, object]:
    """Measure the processor's first pass, and the pass after a rewind to the beginning, by one process."""
    backlog = _backlog(bench)
    prepare_claims(bench)
    first = Row("first", "first pass, claims are written", ours=True)
    again = Row("again", "pass after rewind --to-earliest, claims exist", ours=True)
    with _processing(bench, backlog, "rewind") as (place, worker):
        attempt(bench, first, _subject(first, lambda: _first(bench, place, backlog, worker)), 1, 1)
        if first.rounds:
            attempt(bench, again, _subject(again, lambda: _again(bench, place, backlog, worker)), 1, 1)
    return {"rows": [first.as_json(), again.as_json()]}


def rebuild(bench: Bench) -> dict[str, object]:
    """Measure a lost table: an empty database, and a group that has processed the whole log."""
    backlog = _backlog(bench)
    prepare_claims(bench)
    row = Row("rebuild", "state rebuild of a lost table", ours=True)
    with _processing(bench, backlog, "rebuild") as (place, worker):
        _first(bench, place, backlog, worker)
    lost = Place(bench.servers, place.prefix, bench.databases.create("bench_lost"), place.group, place.log_name)
    try:
        attempt(bench, row, _subject(row, lambda: _rebuild(bench, lost, backlog)), 1, 1)
    finally:
        bench.databases.drop("bench_lost")
    return {"rows": [row.as_json()]}


def _backlog(bench: Bench) -> Backlog:
    return fill(bench, Backlog("backlog.", bench.plan.records))


def _subject(row: Row, run: Callable[[], Figures]) -> Subject:
    return Subject(row.name, row.title, True, lambda _round: run())


@contextmanager
def _processing(bench: Bench, backlog: Backlog, name: str) -> Iterator[tuple[Place, Child]]:
    with bench.databases.copy(TEMPLATE, f"bench_{name}") as url:
        place = place_of(bench, backlog, url, name)
        with processor(place) as worker:
            yield place, worker


def _first(bench: Bench, place: Place, backlog: Backlog, worker: Child) -> Figures:
    began = time.monotonic()
    return speed(_to_the_end(bench, place, backlog, [worker]), began)


def _again(bench: Bench, place: Place, backlog: Backlog, worker: Child) -> Figures:
    """From the moment at which the offsets have moved; every event must be there once more.

    Raises:
        BenchError: the command failed, or it is not.
    """
    before = bench.kafka.ends(place.outputs)
    committed = bench.kafka.committed(place.group, backlog.topic)
    began = time.monotonic()
    command = background(place, "rewind", "--to-earliest", "--execute", "--no-wait")
    try:
        wait_until(lambda: committed() < backlog.records or _failed(command), START_SECONDS, "the offsets to move")
        moved = time.monotonic()
        samples = _to_the_end(bench, place, backlog, [worker])
    finally:
        _finish(command)
    require_each_once(bench, before, backlog)
    return speed(samples, began) | {"command_seconds": moved - began}


def _rebuild(bench: Bench, place: Place, backlog: Backlog) -> Figures:
    began = time.monotonic()
    command = background(place, "state", "rebuild", "--execute")
    try:
        samples = watch(
            bench.databases.counter(place.database_url),
            backlog.records,
            look=lambda: ({**bench.cpu([]), "program": tree_cpu(command.pid)}, 0),
            check=lambda: _failed(command),
            seconds=SECONDS,
        )
    finally:
        _finish(command)
    if bench.databases.rows(place.database_url) != workload.unique(backlog.records):
        raise BenchError("the rebuilt table does not have a claim for every key")
    return speed(samples, began)


def _to_the_end(bench: Bench, place: Place, backlog: Backlog, workers: Sequence[Child]) -> list[Sample]:
    return watch(
        bench.kafka.committed(place.group, backlog.topic),
        backlog.records,
        look=lambda: (bench.cpu(workers), resident(workers)),
        check=functools.partial(check_all, workers),
        seconds=SECONDS,
    )


def _failed(command: "subprocess.Popen[bytes]") -> bool:
    """False, or BenchError when the command ended badly."""
    if command.poll():
        raise BenchError(f"{' '.join(map(str, command.args[1:]))} ended with {command.returncode}")  # type: ignore[index]
    return False


def _finish(command: "subprocess.Popen[bytes]") -> None:
    try:
        command.wait(30)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()
