"""How a process begins and ends: event loop, signals, exit code, a watch on the loop's own delay."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable

import uvloop
from prometheus_client import Gauge

from runtime.errors import PipelineError, RefusedError
from runtime.kafka import quiet_dropped_futures, survive_broken_connections
from runtime.logs import logger

EXIT_FAILED = 1
EXIT_REFUSED = 78  # EX_CONFIG of sysexits.h: an operator must look before a restart can help

_LOOP_WATCH_SECONDS = 1.0
GC_OBJECTS = 50_000  # new container objects between two looks for cycles

log = logger(__name__)

Stop = asyncio.Event


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main(stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the process's exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_guarded(main))


async def _guarded(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    quiet_dropped_futures(loop)
    survive_broken_connections()
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


def calm_garbage_collection() -> None:
    """Leave what lives as long as the process alone, and look at the rest rarely.

    Batches of thousands of objects come and go without cycles; with Python's default of a look every 700 objects they
    are gone through again and again, which took half of a processor's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)


async def watch_loop_lag(gauge: Gauge) -> None:
    """Measure for ever how late the loop wakes a timer; a late loop answers probes and heartbeats late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LOOP_WATCH_SECONDS
        await asyncio.sleep(_LOOP_WATCH_SECONDS)
        gauge.set(max(0.0, loop.time() - due))
