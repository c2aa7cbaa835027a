"""Wait on a condition with a deadline; tests never sleep for a fixed time and hope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.05

Answer = TypeVar("Answer")


async def until(ask: Callable[[], Awaitable[Answer]], *, seconds: float = 30, what: str = "the condition") -> Answer:
    """Ask until the answer is truthy, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} s; last answer: {answer!r}")
        await asyncio.sleep(POLL_SECONDS)
