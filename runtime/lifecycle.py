"""Runs a program from its arguments and settings to its exit code, and watches its event loop's own delay."""

import asyncio
import gc
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from runtime.errors import PipelineError, RefusedError
from runtime.kafka import quiet_dropped_futures
from runtime.logs import configure, logger
from runtime.metrics import ProcessMetrics
from runtime.settings import EXIT_USAGE, LogSettings, S, describe, load, masked
from runtime.tracing import VARIABLES

EXIT_FAILED = 1
EXIT_REFUSED = 78  # EX_CONFIG of sysexits.h: an operator must look before a restart can help

_TICK_SECONDS = 0.02  # a block that is longer by this is always seen
_LOOK_SECONDS = 1.0
BLOCK_SECONDS = 0.1
GC_OBJECTS = 50_000  # new container objects between two looks for cycles

log = logger(__name__)

Stop = asyncio.Event


def run_process(command: str, summary: str, settings_type: type[S], serve: Callable[[S, Stop], Awaitable[None]]) -> int:
    """Run `serve(settings, stop)` as the program `command`, which takes no arguments; returns the exit code.

    Exit codes: 0 stopped as told, 1 failed, 2 wrong usage or settings, 78 an operator must look.
    """
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(describe(command, summary, settings_type, more=VARIABLES))
        return 0
    if arguments:
        sys.stderr.write(f"error: {command} takes no arguments; see {command} --help\n")
        return EXIT_USAGE
    settings = load(settings_type)
    assert isinstance(settings, LogSettings)  # both programs log
    configure(service=command, level=settings.log_level, style=settings.log_format)
    log.info("process.starting", **masked(settings))
    return run(lambda stop: serve(settings, stop))


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main(stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the process's exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_guarded(main))


async def _guarded(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    quiet_dropped_futures(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    failures: list[BaseException] = []
    try:
        await main(stop)
    except* PipelineError as group:
        failures = _leaves(group)
    for failure in failures:
        log.error("process.failed", reason=str(failure), error=type(failure).__name__)
    if any(isinstance(failure, RefusedError) for failure in failures):
        return EXIT_REFUSED
    log.info("process.stopped")
    return EXIT_FAILED if failures else 0


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def calm_garbage_collection(*, objects: int = GC_OBJECTS, young: int = 20, old: int = 20) -> None:
    """Leave what lives as long as the process alone, and look at the rest rarely.

    Batches of thousands of objects come and go without cycles; with Python's default of a look every 700 objects they
    are gone through again and again, which took half of a processor's time.

    Args:
        objects: new ones between two looks at the newest.
        young: such looks between two at those that survived one.
        old: such looks between two at all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, young, old)


def raise_open_files() -> int:
    """Allow this process as many open files, connections among them, as the system lets it; how many these are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def watch_loop_lag(metrics: ProcessMetrics) -> None:
    """Measure for ever how late the loop wakes a timer; a late loop answers probes and heartbeats late.

    A loop is late because our code kept it, or because the machine gave the processor to others. The processor time of
    this thread tells these apart: a delay in which it used none was not ours.
    """
    worst, worst_wall, worst_cpu = 0.0, -1.0, -1.0
    look = time.monotonic() + _LOOK_SECONDS
    while True:
        due, used = time.monotonic() + _TICK_SECONDS, time.thread_time()
        await asyncio.sleep(_TICK_SECONDS)
        now = time.monotonic()
        lag = max(0.0, now - due)
        cpu = min(lag, time.thread_time() - used)
        worst = max(worst, lag)
        if lag > worst_wall:
            metrics.loop_worst.labels("wall").set(worst_wall := lag)
        if cpu > worst_cpu:
            metrics.loop_worst.labels("cpu").set(worst_cpu := cpu)
        if lag > BLOCK_SECONDS:
            metrics.loop_blocked.inc()
        if now >= look:
            metrics.loop_lag.set(worst)
            worst, look = 0.0, now + _LOOK_SECONDS
