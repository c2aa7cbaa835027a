"""An end to waiting, with one timer for all."""

import asyncio

import pytest

from runtime.deadlines import Deadlines


def fail(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def failing_after(seconds: float) -> Deadlines[asyncio.Future[None]]:
    return Deadlines(seconds, fail)


async def wait(deadlines: Deadlines[asyncio.Future[None]], future: asyncio.Future[None]) -> None:
    """As who uses them does."""
    deadlines.watch(future)
    try:
        await future
    finally:
        deadlines.forget(future)


async def test_future_that_is_done_in_time_has_its_outcome() -> None:
    deadlines = failing_after(5)
    good, bad = (asyncio.get_running_loop().create_future() for _ in range(2))
    waiting = [asyncio.ensure_future(wait(deadlines, future)) for future in (good, bad)]
    await asyncio.sleep(0)
    good.set_result(None)
    bad.set_exception(ZeroDivisionError("a fault"))

    await waiting[0]
    with pytest.raises(ZeroDivisionError):
        await waiting[1]


async def test_future_that_was_done_before_is_not_waited_for() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(ZeroDivisionError("a fault"))

    with pytest.raises(ZeroDivisionError):
        await wait(failing_after(5), future)


async def test_each_waits_for_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    deadlines = failing_after(0.1)

    async def waited() -> float:
        began = loop.time()
        with pytest.raises(TimeoutError):
            await wait(deadlines, loop.create_future())
        return loop.time() - began

    first = asyncio.ensure_future(waited())
    await asyncio.sleep(0.05)
    both = await asyncio.gather(first, waited())

    assert all(0.1 <= seconds < 0.15 for seconds in both)


async def test_who_is_cancelled_leaves_no_timer_for_the_others_out() -> None:
    loop = asyncio.get_running_loop()
    deadlines = failing_after(0.05)
    gone = asyncio.ensure_future(wait(deadlines, loop.create_future()))
    await asyncio.sleep(0)
    gone.cancel()

    with pytest.raises(TimeoutError):
        await wait(deadlines, loop.create_future())
    assert deadlines._due == {}
