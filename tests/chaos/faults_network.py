"""Every way between a program and its server cut, silent, one-way, late or trickling."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.chaos import proxy
from tests.chaos.fault import Fault, anywhere, with_three_brokers
from tests.chaos.proxy import Mode, Proxy
from tests.chaos.world import World

Link = list[Proxy]

MODES: Mapping[str, Mode] = {
    "cut": proxy.CUT,
    "silent": proxy.BLACKHOLE,
    "deaf": proxy.DEAF,
    "mute": proxy.MUTE,
    "late": proxy.delayed(0.3),
    "trickling": proxy.trickling(2000),
}


@asynccontextmanager
async def misbehaving(links: Sequence[Link], mode: Mode) -> AsyncIterator[None]:
    """All proxies of these links in one mode while this is open."""
    proxies = [one for link in links for one in link]
    try:
        for one in proxies:
            one.set(mode)
        yield
    finally:
        for one in proxies:
            one.set(proxy.TRANSPARENT)


def _ingress(world: World, _chance: random.Random) -> list[Link]:
    return [world.links["ingress-kafka"]]


def _one_processor(server: str, world: World, chance: random.Random) -> list[Link]:
    return [world.links[f"{chance.choice(world.processors).name}-{server}"]]


def _processors(server: str, world: World, _chance: random.Random) -> list[Link]:
    return [world.links[f"{processor.name}-{server}"] for processor in world.processors]


def _one_broker(world: World, chance: random.Random) -> list[Link]:
    """One broker and all programs; the brokers see each other."""
    number = chance.randrange(len(world.brokers))
    return [[link[number]] for name, link in world.links.items() if name.endswith("-kafka")]


Targets = Callable[[World, random.Random], list[Link]]

TARGETS: Mapping[str, Targets] = {
    "ingress-kafka": _ingress,
    "processor-kafka": functools.partial(_one_processor, "kafka"),
    "processors-kafka": functools.partial(_processors, "kafka"),
    "processor-postgres": functools.partial(_one_processor, "postgres"),
    "processors-postgres": functools.partial(_processors, "postgres"),
    "one-broker": _one_broker,
}


async def misbehave(targets: Targets, mode: Mode, world: World, chance: random.Random, seconds: float) -> None:
    """One mode for the whole time."""
    async with misbehaving(targets(world, chance), mode):
        await asyncio.sleep(seconds)


async def reset_again_and_again(targets: Targets, world: World, chance: random.Random, seconds: float) -> None:
    """Connections are reset at random moments; new ones are let through at once."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    links = targets(world, chance)
    while loop.time() < end:
        for one in (one for link in links for one in link):
            one.cut()
        await asyncio.sleep(chance.uniform(0.2, 3))


def _faults(target: str, targets: Targets) -> list[Fault]:
    obstacle = with_three_brokers if target == "one-broker" else anywhere
    runs = {name: functools.partial(misbehave, targets, mode) for name, mode in MODES.items()}
    resets = functools.partial(reset_again_and_again, targets)
    return [
        *(Fault(f"{target}-{name}", "network", run, obstacle) for name, run in runs.items()),
        Fault(f"{target}-reset", "network", resets, obstacle),
    ]


FAULTS = tuple(fault for target, targets in TARGETS.items() for fault in _faults(target, targets))
