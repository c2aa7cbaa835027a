"""`python -m tests.chaos`: a run of so many minutes from a seed; exit code 0 when every invariant held, 1 otherwise."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.markup import escape

from ops.kit.output import say, stdout, table
from tests.chaos.facts import facts
from tests.chaos.faults import FAULTS
from tests.chaos.report import Table, markdown, tables
from tests.chaos.run import LAST_SECONDS, Outcome, Run, dump
from tests.chaos.schedule import Step, each_once, phases
from tests.chaos.world import World, WorldConfig

DEFAULT_RATE = 180.0
SHOWN = 10  # violations on the terminal


def arguments() -> argparse.Namespace:
    """From the command line, with the environment's values as defaults."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    env = os.environ
    parser.add_argument("--minutes", type=float, default=float(env.get("CHAOS_MINUTES") or 10))
    parser.add_argument("--seed", type=int, default=int(env.get("CHAOS_SEED") or random.SystemRandom().getrandbits(31)))
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=int(env.get("BROKERS") or 1))
    parser.add_argument("--rate", type=float, default=float(env.get("CHAOS_RATE") or DEFAULT_RATE), help="webhooks/s")
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", action="append", choices=names, metavar="FAULT", help="this fault; may be repeated")
    parser.add_argument("--report", type=Path, help="write the tables as Markdown, too")
    parser.add_argument("--keep", action="store_true", help="keep dumps and logs of a run without violations, too")
    return parser.parse_args()


async def run(chosen: argparse.Namespace, directory: Path) -> bool:
    """Run it, print the tables; whether all was well."""
    async with World(WorldConfig(directory, brokers=chosen.brokers)) as world:
        unavailable = {fault.name: why for fault in FAULTS if (why := fault.unavailable(world)) is not None}
        usable = [
            fault for fault in FAULTS if fault.name not in unavailable and fault.name in (chosen.only or [fault.name])
        ]
        last = [step for fault in usable if fault.last for step in _once(fault.name, chosen.seed)]
        seconds = chosen.minutes * 60 - LAST_SECONDS * bool(last)
        say(f"{len(usable)} faults, {len(unavailable)} not available here; logs: {world.logs}")
        outcome = await Run(world, chosen.seed, chosen.rate, say).run(
            phases([fault.name for fault in usable if not fault.last], chosen.seed), seconds=seconds, last=last
        )
        command = f"python -m tests.chaos --minutes {chosen.minutes:g} --seed {chosen.seed} --brokers {chosen.brokers}"
        command += f" --rate {chosen.rate:g}" + "".join(f" --only {name}" for name in chosen.only or ())
        words = list(facts(outcome, world, command=command, seed=chosen.seed, unavailable=unavailable))
    dump(outcome, directory / "dump")
    show(outcome, words, chosen.report)
    return outcome.good


def show(outcome: Outcome, words: list[str], report: Path | None) -> None:
    """The tables and the facts on the terminal, and as Markdown."""
    found = tables(outcome.windows, outcome.journal.deliveries, outcome.verdict, outcome.samples)
    for one in found:
        _print(one)
    for line in words:
        stdout().print(f"- {escape(line)}", soft_wrap=True)
    for violation in outcome.verdict.violations[:SHOWN]:
        say(f"✗ {violation.invariant.name} {violation.webhook or ''} {violation.text[:600]}")
    if report is not None:
        report.write_text("\n".join(f"- {line}" for line in words) + f"\n\n{markdown(found)}\n", encoding="utf-8")


def _print(one: Table) -> None:
    stdout().print(table(one.title, one.columns, one.rows, right=one.columns[1:]))


def _once(name: str, seed: int) -> list[Step]:
    return [step for phase in each_once([name], seed, quiet=0, seconds=LAST_SECONDS / 3) for step in phase.steps]


def main() -> None:
    """Print the seed first and last: it is what a run is repeated with."""
    chosen = arguments()
    directory = Path(tempfile.mkdtemp(prefix="ringover-chaos-"))
    say(f"seed {chosen.seed}: {chosen.minutes:g} minutes, {chosen.brokers} broker(s), {chosen.rate:g} webhooks/s")
    good = False
    try:
        good = asyncio.run(run(chosen, directory))
    finally:
        if good and not chosen.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            say(f"logs and dumps: {directory}")
        say(f"{'✓ every invariant held' if good else '✗ NOT GOOD'}; seed {chosen.seed}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
