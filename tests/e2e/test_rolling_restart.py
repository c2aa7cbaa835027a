"""Every ingress and every processor is replaced, twice, under steady load: nothing is refused, nothing comes twice.

ROLLING_RATE (webhooks a second) makes it harder.
"""

import asyncio
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.support.balancer import Balancer, Instance
from tests.support.kafka import Webhook, read_topic
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.steady import Sent, Steady
from tests.support.traffic import ended, recording, started
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

LEAVE_SECONDS = 1.0  # the default; other tests do without, to be quick
RATE = float(os.environ.get("ROLLING_RATE", "250"))
# deploy/k8s: terminationGracePeriodSeconds, of an ingress without what preStop takes of it.
INGRESS_GRACE_SECONDS = 40.0
PROCESSOR_GRACE_SECONDS = 45.0


@dataclass
class Restarts:
    """What happened to the programs that were replaced."""

    stops: list[tuple[str, float]] = field(default_factory=list)
    answers_after_sigterm: int = 0

    async def stop(self, program: Program, *, seconds: float) -> None:
        """SIGTERM; it must end with 0 in time."""
        began = time.monotonic()
        code = await asyncio.to_thread(program.stop, seconds=seconds)
        self.stops.append((program.name, time.monotonic() - began))
        assert code == 0, program.tail()


def _of_call(call: str) -> tuple[Iterable[Webhook], Iterable[Webhook]]:
    """Two to seven webhooks: redelivered ones at once and late, recordings."""
    number = int(call.rpartition("-")[2])
    begin, end = started(call), ended(call, duration=number)
    recorded = [recording(call, "r1"), recording(call, "r2")] if number % 5 == 0 else []
    return (
        [begin] * (2 if number % 10 == 0 else 1),
        [end, *recorded, *([begin, end] if number % 10 == 3 else []), *recorded[:1]],
    )


@pytest.mark.timeout(240)
async def test_rolling_restart_refuses_no_webhook_and_repeats_no_event(
    place: Place, programs: Programs, tmp_path: Path
) -> None:
    instances = [_instance(programs, stable_port(), tmp_path) for _ in range(2)]
    processors = [programs.processor(), programs.processor()]
    for program in programs.all:
        await program.ready()
    balancer = Balancer(instances)
    sender = Steady(balancer.post, per_second=RATE, name="rolling", of_call=_of_call)
    restarts = Restarts()
    async with balancer.looking():
        await until(partial(_ready, *instances), what="readiness seen by the balancer")
        sending = asyncio.create_task(sender.run())
        try:
            async with asyncio.TaskGroup() as group:  # as one rollout of both: one of each kind at a time
                group.create_task(_roll_ingresses(programs, instances, restarts, tmp_path))
                group.create_task(_roll_processors(programs, processors, restarts))
        finally:
            sender.stop()
            sent = await sending
    _report(sent, balancer, restarts)

    assert sent.refused == []
    # A balancer that looks often enough meets no refused connection either.
    assert balancer.unreachable == 0 or balancer.worst_look_seconds >= LEAVE_SECONDS
    assert len(restarts.stops) == 8
    assert restarts.answers_after_sigterm > 0  # requests did arrive at ingresses that were told to stop
    assert _differences(_by_call(sent.accepted), await _raw_by_call(place)) == {}
    await processed(place, len(sent.accepted))
    model = await judge(place)
    assert len(model.events) == len({webhook.body for webhook in sent.accepted})
    assert model.duplicates == len(sent.accepted) - len(model.events) > 0
    assert model.dead_letters == []


async def _roll_ingresses(programs: Programs, instances: list[Instance], restarts: Restarts, directory: Path) -> None:
    """As a StatefulSet does: the same port, the same spool, one after another; without warning, then with."""
    for warned in (False, True):
        for instance in instances:
            if warned:
                instance.out = True
                await until(partial(_unused, instance), what="the end of its requests")
            assert await _spooled(instance.program) == 0  # Kafka was there all the time
            answers = instance.answers
            await restarts.stop(instance.program, seconds=INGRESS_GRACE_SECONDS)
            if warned:
                assert instance.answers == answers
            restarts.answers_after_sigterm += instance.answers - answers
            instance.ready = False
            instance.program = _ingress(programs, instance.port, directory)
            instance.out = False
            await instance.program.ready()
            await until(partial(_ready, instance), what="readiness seen by the balancer")


async def _roll_processors(programs: Programs, processors: list[Program], restarts: Restarts) -> None:
    for _ in range(2):
        for number, processor in enumerate(processors):
            await restarts.stop(processor, seconds=PROCESSOR_GRACE_SECONDS)
            processors[number] = programs.processor()
            await processors[number].ready()


def _instance(programs: Programs, port: int, directory: Path) -> Instance:
    return Instance(port, _ingress(programs, port, directory))


def _ingress(programs: Programs, port: int, directory: Path) -> Program:
    return programs.ingress(
        INGRESS_PORT=str(port),
        INGRESS_SPOOL_DIR=str(directory / f"spool-{port}"),
        INGRESS_LEAVE_SECONDS=str(LEAVE_SECONDS),
        # A busy machine is no outage: with webhooks of a call in two spools their order would be lost (docs/design.md).
        INGRESS_SPOOL_AFTER_SECONDS="8",
    )


async def _ready(*instances: Instance) -> bool:
    return all(instance.ready for instance in instances)


async def _unused(instance: Instance) -> bool:
    return instance.under_way == 0


async def _spooled(program: Program) -> float:
    found = re.search(r"^ringover_spool_spooled_total (\S+)$", await program.metrics(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def _raw_by_call(place: Place) -> dict[str, list[bytes]]:
    return _by_call(
        Webhook("", record.key.decode(), record.value)
        for record in await read_topic(place.bootstrap_servers, place.topics.raw)
    )


def _by_call(webhooks: Iterable[Webhook]) -> dict[str, list[bytes]]:
    """The bodies of each call, in their order."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for webhook in webhooks:
        found[webhook.key].append(webhook.body)
    return found


def _differences(
    sent: dict[str, list[bytes]], raw: dict[str, list[bytes]]
) -> dict[str, tuple[list[bytes], list[bytes]]]:
    """The calls of which not exactly what was sent is stored, in this order; of the bodies what tells them apart."""

    def short(bodies: list[bytes]) -> list[bytes]:
        return [body[:40] + body[-20:] for body in bodies]

    calls = sent.keys() | raw.keys()
    return {
        call: (short(sent.get(call, [])), short(raw.get(call, []))) for call in calls if sent.get(call) != raw.get(call)
    }


def _report(sent: Sent, balancer: Balancer, restarts: Restarts) -> None:
    stops = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in restarts.stops)
    print(  # noqa: T201 - shown with pytest -s: the figures of the run
        f"\nrolling restart at {RATE:g}/s: {len(sent.accepted)} answered 202, {len(sent.refused)} refused"
        f" {sorted({answer[:60] for answer, _ in sent.refused})}, worst answer {sent.worst_seconds:.2f} s,"
        f" sender late by {sent.late_seconds:.2f} s, {restarts.answers_after_sigterm} answers after SIGTERM,"
        f" {balancer.unreachable} connections refused, looks at most"
        f" {balancer.worst_look_seconds:.2f} s apart; stopped with 0: {stops}"
    )
