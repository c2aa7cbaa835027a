"""The open-loop sender of the tests: its rate, and what it does when the machine kept it from sending."""

import asyncio
from collections import Counter

import pytest

from tests.support.kafka import Webhook
from tests.support.steady import CATCH_UP_SECONDS, Steady

RATE = 100.0
STALL_SECONDS = 3.0


async def test_what_could_not_be_sent_in_time_is_put_off_and_not_sent_in_one_burst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, sent_at = 1000.0, Counter[float]()
    yield_to_others = asyncio.sleep

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await yield_to_others(0)

    async def post(_webhook: Webhook) -> str:
        nonlocal now
        sent_at[now] += 1
        if sent_at.total() == RATE:
            now += STALL_SECONDS
        if sent_at.total() == 3 * RATE:
            sender.stop()
        return "HTTP/1.1 202 Accepted"

    monkeypatch.setattr("tests.support.steady.time.monotonic", lambda: now)
    monkeypatch.setattr("tests.support.steady.asyncio.sleep", sleep)
    sender = Steady(post, per_second=RATE, name="x")
    sent = await sender.run()

    assert max(sent_at.values()) <= CATCH_UP_SECONDS * RATE + 1
    assert sent.late_seconds == pytest.approx(STALL_SECONDS - CATCH_UP_SECONDS, abs=2 / RATE)
    # Before and after the stall the rate is kept.
    took = max(sent_at) - 1000.0 - sent.late_seconds
    assert len(sent.accepted) / took == pytest.approx(RATE, rel=0.05)
