"""Runs `make bench`: `python -m benchmarks`. Ends by itself; exit code 1 when a part gave no figures of ours."""

import argparse
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from benchmarks import machine, page, results
from benchmarks.bench import FAILURES, Bench
from benchmarks.children import ROOT
from benchmarks.database import Databases
from benchmarks.kafka import Kafka
from benchmarks.load import have_wrk
from benchmarks.parts import growth, ingress, latency, memory, processor, rewind
from benchmarks.plan import PEERS, Plan, chosen_parts
from benchmarks.servers import servers
from ops.kit.output import say

PARTS: Mapping[str, Callable[[Bench], dict[str, object]]] = {
    "ingress": ingress.run,
    "processor": processor.run,
    "latency": latency.run,
    "memory": memory.run,
    "rewind": rewind.rewind,
    "rebuild": rewind.rebuild,
    "growth": growth.run,
}


def plan_of_arguments() -> tuple[Plan, Path]:
    """Read the plan, and where results go, from the command line, with the environment's values as defaults."""
    env, default = os.environ, Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=env.get("ONLY", ""), help="parts, separated by commas; default: all")
    parser.add_argument("--scale", type=float, default=float(env.get("BENCH_SCALE") or 1), help="of all sizes")
    parser.add_argument("--rounds", type=int, default=int(env.get("BENCH_ROUNDS") or default.rounds))
    parser.add_argument("--seconds", type=float, default=float(env.get("BENCH_SECONDS") or default.seconds))
    parser.add_argument("--peers", choices=PEERS, default=env.get("BENCH_PEERS") or default.peers)
    claims = int(env.get("BENCH_MOST_CLAIMS") or default.most_claims)
    parser.add_argument("--most-claims", type=int, default=claims, help="largest table that `growth` looks at")
    parser.add_argument("--minutes", type=float, default=float(env.get("BENCH_MINUTES") or default.minutes))
    parser.add_argument("--results", type=Path, help="directory; default: benchmarks/results, or .bench when scaled")
    chosen = parser.parse_args()
    try:
        parts = chosen_parts(chosen.only)
    except ValueError as error:
        parser.error(str(error))
    plan = Plan(
        parts=parts,
        scale=chosen.scale,
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        warmup_seconds=min(default.warmup_seconds, chosen.seconds),
        peers=chosen.peers,
        most_claims=chosen.most_claims,
        minutes=chosen.minutes,
    )
    usual = page.RESULTS if plan.scale == 1 else ROOT / ".bench" / "results"
    return plan, chosen.results or usual


def run(plan: Plan, directory: Path) -> tuple[list[str], bool]:
    """Run every part in turn; returns those that were measured, and whether all of ours gave figures."""
    began = time.monotonic()
    deadline = began + plan.minutes * 60
    about = machine.about(plan)
    done, good = [], True
    with servers(say, brief=plan.brief) as found:
        bench = Bench(plan, found, Kafka(found.bootstrap_servers), Databases(found.database_url), say, deadline)
        for part in plan.parts:
            say(f"{part} ({time.monotonic() - began:.0f} s)")
            try:
                bench.check_time()
                measured = PARTS[part](bench)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are measured all the same
                say(f"  {part} FAILED: {error if isinstance(error, FAILURES) else traceback.format_exc()}")
                good = False
                continue
            results.write(directory, part, about, measured)
            done.append(part)
            good = good and results.complete(measured)
    say(f"{time.monotonic() - began:.0f} s in all; results: {directory}")
    return done, good


def main() -> None:
    """Run, show the tables, write the page when the results are those of the repository."""
    signal.signal(signal.SIGTERM, _end)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    plan, directory = plan_of_arguments()
    if not have_wrk():
        say("wrk is missing (`apt-get install wrk`): a slower generator of our own takes its place")
    done, good = run(plan, directory)
    page.show(directory, done)
    if directory == page.RESULTS:
        page.write()
    sys.exit(0 if good else 1)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit("stopped")  # every context is left in order


if __name__ == "__main__":
    main()
