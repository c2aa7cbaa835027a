"""Drives the running system and collects what it did, up to the point where nothing can come any more."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from ops.kit.errors import OpsError
from ops.kit.postgres import database_errors
from ops.lag.read import read_lag
from ops.tail.run import TailOptions, follow
from runtime.postgres import connect_blocking
from runtime.settings import KafkaSettings
from sandbox.demo.observed import Observed, SeenRecords, StateRow
from sandbox.demo.progress import StepDisplay
from sandbox.demo.services import Access
from sandbox.demo.traffic import post_load, post_scenario
from sandbox.demo.workload import Step, expected, flatten
from schemas.topics import TopicNames

GROUP = "ringover-normalizer"
SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Workload:
    """Holds what to post: the scenario one by one, then the calls concurrently."""

    scenario: Sequence[Step]
    calls: Sequence[Sequence[Step]]


async def exercise(settings: KafkaSettings, access: Access, plan: Workload, steps: StepDisplay) -> Observed:
    """Post everything, wait until all of it is processed and seen, and read the state table.

    Raises:
        OpsError: something stopped answering.
    """
    seen = SeenRecords(TopicNames(settings.kafka_topic_prefix))
    stop, ready = asyncio.Event(), asyncio.Event()
    wanted = expected([*plan.scenario, *flatten(plan.calls)])
    with _first_error():
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(settings, seen, stop, ready))
            await ready.wait()
            with steps.step(f"posting the specification's webhooks and {len(plan.scenario) - 3} more"):
                answers = await post_scenario(access, plan.scenario)
            total = len(flatten(plan.calls))
            with steps.bar(f"posting {total} webhooks of {len(plan.calls)} calls", total) as posted:
                load_answers, posting_seconds = await post_load(access, plan.calls, posted=posted)
            with steps.step("waiting until everything is processed"):
                lag = await _settle(settings, seen, events=len(wanted.keys), dead=wanted.dead_letters)
            stop.set()
    claims, conflicts = await asyncio.to_thread(_read_state, access.env["DATABASE_URL"])
    return Observed(answers, load_answers, seen, claims, conflicts, lag, posting_seconds)


@contextmanager
def _first_error() -> Iterator[None]:
    """Raise one error of several: when the ingress is gone, every connection reports it."""
    try:
        yield
    except ExceptionGroup as group:
        ours, others = group.split(OpsError)
        if ours is None or others is not None:
            raise
        raise _leaf(ours) from group


def _leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _watch(settings: KafkaSettings, seen: SeenRecords, stop: asyncio.Event, ready: asyncio.Event) -> None:
    topics = seen.topics
    options = TailOptions(
        topics=(topics.raw, *topics.outputs),
        from_beginning=True,
    )
    async with aclosing(follow(settings, options, stop=stop, ready=ready.set)) as records:
        async for record in records:
            seen.add(record, now=time.time())


async def _settle(settings: KafkaSettings, seen: SeenRecords, *, events: int, dead: int) -> int:
    """Wait until the group has no lag and the expected counts are seen, or for SETTLE_SECONDS; returns the lag left.

    The lag proves that no more will be emitted, the counts that the consumer has caught up.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    lag = await _lag(settings, seen.topics)
    while time.monotonic() < deadline and (lag or len(seen.events) < events or len(seen.dead) < dead):
        await asyncio.sleep(POLL_SECONDS)
        lag = await _lag(settings, seen.topics)
    return lag


async def _lag(settings: KafkaSettings, topics: TopicNames) -> int:
    found = await read_lag(settings, group=GROUP, topic=topics.raw, own_topic=topics.offset)
    return found.lag_records


def _read_state(database_url: str) -> tuple[list[StateRow], list[str]]:
    with database_errors(), connect_blocking(database_url) as connection:
        claims = connection.execute("SELECT idempotency_key, records FROM claim ORDER BY idempotency_key").fetchall()
        conflicts = connection.execute(
            "SELECT idempotency_key FROM conflict ORDER BY partition, record_offset"
        ).fetchall()
    return [StateRow(*row) for row in claims], [key for (key,) in conflicts]
