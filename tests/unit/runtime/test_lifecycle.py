"""How a process ends: exit codes and signals."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from runtime import lifecycle
from runtime.errors import FencedError, PublishError, RefusedError

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
