"""One run: load and faults side by side, then healing, draining, judging."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import aiohttp
from aiokafka.errors import KafkaError

from tests.chaos.checker import DRAIN_SECONDS, History, Verdict, judge
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.journal import Answer, Journal, write_lines
from tests.chaos.offsets import commits
from tests.chaos.report import Window
from tests.chaos.schedule import Phase, Step
from tests.chaos.sender import Sender
from tests.chaos.watch import INTERVAL_SECONDS, Sample, Watch, spooled, undecided
from tests.chaos.world import World
from tests.support.verdict import left

Say = Callable[[str], None]

INJECT_SECONDS = 120.0  # beyond its own time, for a fault to undo itself
LAST_SECONDS = 45.0  # kept at the end for faults that leave the world changed
GIVE_UP_SECONDS = 3 * DRAIN_SECONDS  # of draining; what takes longer than DRAIN_SECONDS is a violation anyway
LOOKS = 3  # without anything waiting: a record may be between the spool and the log
# Twice the transactions' timeout: what was open at healing has ended by then.
DECIDED_SECONDS = 60.0


@dataclass
class Outcome:
    """A run that is over; `broken`: faults that did not do what they should, which is no fault of the product."""

    verdict: Verdict
    journal: Journal
    history: History
    windows: list[Window]
    samples: Sequence[Sample]
    broken: list[str]
    seconds: float
    decided: float | None  # seconds from healing until no transaction was open

    @property
    def good(self) -> bool:
        """Whether every invariant held and every fault was carried out."""
        return not self.verdict.violations and not self.broken


@dataclass
class Run:
    """Drives one world; `phases` may be endless, they stop at `seconds`."""

    world: World
    seed: int
    rate: float
    say: Say
    windows: list[Window] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._load = Sender(
            self.world.ingress_url, seed=self.seed, rate=self.rate, journal=self.world.logs / "journal.jsonl"
        )
        self._watch = Watch(self.world.place, self.world.config.partitions, self._load.now)

    async def run(self, phases: Iterable[Phase], *, seconds: float, last: Sequence[Step] = ()) -> Outcome:
        """Load, faults, healing, draining, judging."""
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._load.run())
            watching = group.create_task(self._watch.run())
            await self._faults(phases, seconds)
            for step in last:
                await self._inject(step)
            self._say("healing")
            await self._heal()
            healed = monotonic()
            self._load.stop()
            self._say("healed; the senders end")
            await sending
            watching.cancel()
        drained = await self._drained(healed)
        self._say("not everything was processed" if drained is None else f"everything processed after {drained:.1f} s")
        decided = await self._decided(healed)
        journal = await asyncio.to_thread(self._load.journal)
        history = History(
            raw_topic=self.world.topics.raw,
            deliveries=journal.deliveries,
            left=await left(self.world.place),
            commits=await commits(self.world.place),
            undecided=await undecided(self.world.place, self.world.config.partitions),
            drained=drained,
        )
        self._say(f"judging {len(history.left.raw)} raw records")
        return Outcome(
            verdict=await asyncio.to_thread(judge, history),
            journal=journal,
            history=history,
            windows=self.windows,
            samples=self._watch.samples,
            broken=self.broken,
            seconds=self._load.now(),
            decided=decided,
        )

    async def _faults(self, phases: Iterable[Phase], seconds: float) -> None:
        for phase in phases:
            if self._load.now() + phase.quiet >= seconds:
                break
            await asyncio.sleep(phase.quiet)
            async with asyncio.TaskGroup() as group:
                for step in phase.steps:
                    group.create_task(self._inject(step))
        await asyncio.sleep(max(0.0, seconds - self._load.now()))

    async def _inject(self, step: Step) -> None:
        fault = named(step.fault)
        await asyncio.sleep(step.after)
        began = self._load.now()
        self._say(f"{fault.name}, {step.seconds:.0f} s")
        try:
            async with asyncio.timeout(step.seconds + INJECT_SECONDS):
                await fault.run(self.world, random.Random(step.seed), step.seconds)
        except Exception as error:  # noqa: BLE001 - the run goes on, and fails at its end
            self.broken.append(f"{fault.name} at {began:.0f} s: {error!r}")
            self._say(f"{fault.name} FAILED: {error!r}")
        self.windows.append(Window(fault.name, fault.kind, began, self._load.now()))

    async def _heal(self) -> None:
        """What does not become well is judged as it is: the dumps say more than an exception here."""
        try:
            await self.world.heal()
        except AssertionError as error:
            self.broken.append(f"healing: {error}")
            self._say(f"NOT HEALED: {error}")

    async def _drained(self, healed: float) -> float | None:
        """Seconds since healing until nothing lags and nothing is spooled, as seen several times in a row."""
        seen: list[float] = []
        while monotonic() - healed < GIVE_UP_SECONDS:
            with suppress(KafkaError, aiohttp.ClientError, TimeoutError, OSError):
                waiting = await spooled(self.world.admin_urls()["ingress"]) + (await self._watch.look()).lag
                seen = [] if waiting else [*seen, monotonic() - healed]
                if len(seen) == LOOKS:
                    return seen[0]
            await asyncio.sleep(INTERVAL_SECONDS)
        return None

    async def _decided(self, healed: float) -> float | None:
        while monotonic() - healed < DECIDED_SECONDS:
            with suppress(KafkaError, TimeoutError, OSError):
                if not any((await undecided(self.world.place, self.world.config.partitions)).values()):
                    return monotonic() - healed
            await asyncio.sleep(INTERVAL_SECONDS)
        return None

    def _say(self, text: str) -> None:
        lag = self._watch.samples[-1].lag if self._watch.samples else 0
        counts = f"acked {self._load.acked:7,}  refused {self._load.refused:6,}  lag {lag:6,}"
        self.say(f"{self._load.now():6.0f} s  {counts}  {text}")


def named(name: str) -> Fault:
    """The fault of this name."""
    return next(fault for fault in FAULTS if fault.name == name)


def dump(outcome: Outcome, directory: Path) -> None:
    """Everything the verdict was made from, as JSON lines; the journal lies with the logs."""
    directory.mkdir(exist_ok=True)
    found, seen = outcome.history.left, outcome.history
    write_lines(
        directory / "violations.jsonl", ((v.invariant.name, v.webhook, v.text) for v in outcome.verdict.violations)
    )
    write_lines(directory / "raw.jsonl", found.raw)
    write_lines(directory / "events.jsonl", found.events)
    write_lines(directory / "dead-letters.jsonl", (letter._asdict() for letter in found.letters))
    write_lines(directory / "state.jsonl", [found.state, found.committed, seen.undecided])
    write_lines(directory / "watch.jsonl", outcome.samples)
    write_lines(directory / "faults.jsonl", outcome.windows)


def unknown(journal: Journal) -> int:
    """Webhooks that were never answered with a 2xx: given up by their senders, no obligations."""
    return sum(delivery.answer is Answer.NONE for delivery in journal.deliveries)
