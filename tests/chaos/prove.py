"""`python -m tests.chaos.prove`: each fault alone, under a trickle of webhooks, and whether the system comes back.

For each fault: inject it while webhooks are posted, heal, wait until everything is processed, judge all outputs against
the reference model. Says for each how long it took; a fault after which the system does not come back fails the run.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiokafka import ConsumerRecord

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.world import World, WorldConfig
from tests.support.kafka import Webhook, read_topic
from tests.support.load import Answers, post
from tests.support.traffic import traffic
from tests.support.verdict import judge, processed
from tests.support.waiting import until

PAUSE_SECONDS = 0.02  # between two webhooks of one sender
SENDERS = 4
CLIENT_SECONDS = 20.0
CAUGHT_UP_SECONDS = 90.0


@dataclass
class Trickle:
    """Senders that go on whatever they are answered; nothing is sent again."""

    url: str
    answers: Answers = field(default_factory=Answers)
    failed: int = 0

    async def flow(self, seed: int) -> None:
        """Post until cancelled."""
        webhooks = itertools.chain.from_iterable(traffic(seed * 1000 + turn, 200) for turn in itertools.count())
        timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._send(session, webhooks) for _ in range(SENDERS)))

    async def _send(self, session: aiohttp.ClientSession, webhooks: "itertools.chain[Webhook]") -> None:
        for webhook in webhooks:
            try:
                await post(session, self.url, webhook, self.answers)
            except (aiohttp.ClientError, TimeoutError):
                self.failed += 1
            await asyncio.sleep(PAUSE_SECONDS)


async def prove(world: World, fault: Fault, seed: int, seconds: float) -> str:
    """What happened, in a line.

    Raises:
        AssertionError: the system does not come back, or what came out is wrong.
    """
    trickle = Trickle(world.ingress_url)
    flowing = asyncio.create_task(trickle.flow(seed))
    exits, notes = len(world.exits), len(world.notes)
    try:
        await asyncio.sleep(2)
        await fault.run(world, random.Random(seed), seconds)
        began = time.monotonic()
        await world.heal()
        healed = time.monotonic() - began
        await asyncio.sleep(2)
    finally:
        flowing.cancel()
        await asyncio.gather(flowing, return_exceptions=True)
    raw = await until(lambda: _stored(world, trickle.answers), seconds=CAUGHT_UP_SECONDS, what="every accepted webhook")
    await processed(world.place, len(raw), seconds=CAUGHT_UP_SECONDS)
    caught_up = time.monotonic() - began
    await judge(world.place)
    ended = ", ".join(f"{one.name} {one.code}" for one in world.exits[exits:])
    said = "; ".join(text for _, text in world.notes[notes:])
    answers = trickle.answers
    return (
        f"healed in {healed:.1f} s, caught up in {caught_up:.1f} s; accepted {len(answers.accepted)}, "
        f"refused {len(answers.refused)}, unanswered {trickle.failed}; ended: {ended or '-'}; {said or '-'}"
    )


async def _stored(world: World, answers: Answers) -> list[ConsumerRecord]:
    """The raw topic, once it has everything that was accepted."""
    raw = await read_topic(world.bootstrap_servers, world.topics.raw)
    accepted = {webhook.body for webhook in answers.accepted}
    return raw if accepted <= {record.value for record in raw} else []


async def run(names: list[str], config: WorldConfig, seed: int, seconds: float) -> int:
    """How many faults failed; after one the world is made anew."""
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    failures = 0
    while faults:
        async with World(
            WorldConfig(Path(tempfile.mkdtemp(prefix="ringover-prove-")), brokers=config.brokers)
        ) as world:
            print(f"world: {world.config.directory}", flush=True)  # noqa: T201 - for a person
            while faults:
                fault = faults.pop(0)
                if reason := fault.unavailable(world):
                    print(f"-  {fault.name}: {reason}", flush=True)  # noqa: T201
                    continue
                try:
                    print(f"ok {fault.name}: {await prove(world, fault, seed, seconds)}", flush=True)  # noqa: T201
                except Exception as error:  # noqa: BLE001 - whatever it is, the next fault has its turn
                    failures += 1
                    ended = ", ".join(f"{one.name} {one.code}" for one in world.exits)
                    print(f"!! {fault.name}: {error!r}; ended: {ended}", flush=True)  # noqa: T201
                    break
                seed += 1
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of faults")
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    config = WorldConfig(Path("/unused"), brokers=chosen.brokers)
    sys.exit(min(1, asyncio.run(run(chosen.only, config, chosen.seed, chosen.seconds))))


if __name__ == "__main__":
    main()
