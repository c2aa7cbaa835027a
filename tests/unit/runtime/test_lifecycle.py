"""How a process ends: exit codes and signals."""

import asyncio
import resource
import signal
import time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from runtime import lifecycle
from runtime.errors import FencedError, PublishError, RefusedError
from runtime.metrics import ProcessMetrics
from tests.support.waiting import until

Main = Callable[[asyncio.Event], Awaitable[None]]


def failing(*errors: Exception) -> Main:
    async def main(_stop: asyncio.Event) -> None:
        if len(errors) == 1:
            raise errors[0]
        raise ExceptionGroup("together", errors)

    return main


async def clean(_stop: asyncio.Event) -> None:
    """Ends at once."""


def test_clean_end_is_zero() -> None:
    assert lifecycle.run(clean) == 0


@pytest.mark.parametrize("error", [PublishError("away"), FencedError("fenced")])
def test_failure_is_one(error: Exception) -> None:
    assert lifecycle.run(failing(error)) == 1


@pytest.mark.parametrize(
    "main",
    [
        failing(RefusedError("look")),
        failing(PublishError("away"), RefusedError("look")),
        failing(ExceptionGroup("inner", [RefusedError("look")]), FencedError("fenced")),
    ],
    ids=["alone", "beside another", "nested"],
)
def test_refusal_is_78_even_among_others(main: Main) -> None:
    assert lifecycle.run(main) == 78


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_asks_for_a_stop_and_the_end_is_clean(number: signal.Signals) -> None:
    async def main(stop: asyncio.Event) -> None:
        signal.raise_signal(number)
        async with asyncio.timeout(5):
            await stop.wait()

    before = signal.getsignal(number)
    try:
        assert lifecycle.run(main) == 0
    finally:
        signal.signal(number, before)


def test_bug_is_not_dressed_up_as_an_expected_end() -> None:
    with pytest.raises(ZeroDivisionError):
        lifecycle.run(failing(ZeroDivisionError("bug")))


def test_bug_beside_an_expected_error_is_still_raised() -> None:
    with pytest.raises(ExceptionGroup) as found:
        lifecycle.run(failing(ZeroDivisionError("bug"), PublishError("away")))

    assert found.value.subgroup(ZeroDivisionError) is not None


async def test_blocked_loop_shows_in_the_metrics() -> None:
    registry = CollectorRegistry()
    watching = asyncio.create_task(lifecycle.watch_loop_lag(ProcessMetrics(registry)))
    await asyncio.sleep(0)
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass  # blocks the loop by its own work

    async def seen() -> bool:
        worst = registry.get_sample_value("ringover_event_loop_worst_seconds", {"clock": "cpu"}) or 0
        return worst >= 0.2

    await until(seen, seconds=10)
    assert (registry.get_sample_value("ringover_event_loop_blocked_total") or 0) >= 1
    watching.cancel()


def test_open_files_are_raised_to_what_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))

        assert lifecycle.raise_open_files() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
