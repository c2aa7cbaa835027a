"""Draws flame graphs of ingress and processor under load to .bench/profile: `python -m benchmarks.profile`.

py-spy looks from outside, without stopping the process (its other mode changes what is measured).
"""

import html
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.children import ROOT, check
from benchmarks.database import Databases
from benchmarks.errors import BenchError
from benchmarks.kafka import Kafka
from benchmarks.parts.ingress import BODIES, PARTITIONS
from benchmarks.parts.processor import TEMPLATE, Backlog, fill, place_of, prepare_claims
from benchmarks.plan import Plan
from benchmarks.programs import Place, ingress, make_topics, processor
from benchmarks.servers import servers
from ops.kit.output import say
from sandbox.devstack.processes import Child

OUT = ROOT / ".bench" / "profile"
PY_SPY = ROOT / ".venv-bench" / "bin" / "py-spy"
SAMPLES_A_SECOND = 200
WARMUP_SECONDS = 3.0
GRACE_SECONDS = 60.0
SHOWN = 25  # frames on the terminal

_FRAME = re.compile(r"<title>(.*?) \([\d,]+ samples, ([\d.]+)%\)</title>")


def main() -> None:
    """Profile both in turn; the backlog is as long as the profile takes."""
    OUT.mkdir(parents=True, exist_ok=True)
    plan = Plan()
    with servers(say) as found:
        kafka, databases = Kafka(found.bootstrap_servers), Databases(found.database_url)
        bench = Bench(plan, found, kafka, databases, say, time.monotonic() + 600)
        profile_ingress(bench, OUT / "ingress.svg")
        profile_processor(bench, OUT / "processor.svg")


def profile_ingress(bench: Bench, out: Path) -> None:
    """Profile the ingress at full speed of the load generator."""
    place = Place(bench.servers, "ingress.")
    make_topics(place, PARTITIONS)
    with ingress(place, bench.servers.directory / "spool") as server:
        load.full_speed(server.port, BODIES, WARMUP_SECONDS, bench.servers.directory)
        with _recording(server.child, bench.plan.seconds, out):
            load.full_speed(server.port, BODIES, bench.plan.seconds + 1, bench.servers.directory)
    tell(out)


def profile_processor(bench: Bench, out: Path) -> None:
    """Profile a processor amid a backlog."""
    prepare_claims(bench)
    backlog = fill(bench, Backlog("backlog.", bench.plan.records))
    with bench.databases.copy(TEMPLATE, "bench_profile") as url:
        place = place_of(bench, backlog, url, "profile")
        committed = bench.kafka.committed(place.group, backlog.topic)
        with processor(place) as child:
            while not committed():
                check(child)
                time.sleep(0.05)
            with _recording(child, bench.plan.seconds, out):
                pass
            if committed() >= backlog.records:
                say("the backlog was over before the profile: the graph shows idle time, too")
    tell(out)


def widest(svg: str, count: int) -> list[tuple[float, str]]:
    """Find the functions in which most time was spent, with what they called, as percent of all samples: pure.

    A function that calls itself counts twice, and a frame's line is that of the call.
    """
    shares: dict[str, float] = defaultdict(float)
    for name, percent in _FRAME.findall(svg):
        shares[html.unescape(name).rpartition(":")[0]] += float(percent)
    named = [(round(share, 2), name) for name, share in shares.items() if name]
    return sorted(named, reverse=True)[:count]


def tell(out: Path) -> None:
    """Print where the graph is, and its widest frames."""
    say(f"flame graph: {out}")
    for share, name in widest(out.read_text(encoding="utf-8"), SHOWN):
        say(f"  {share:5.1f} %  {name})")


@contextmanager
def _recording(child: Child, seconds: float, out: Path) -> Iterator[None]:
    """py-spy beside a process while the context is open; leaving it waits for the graph.

    Raises:
        BenchError: py-spy is not there, or may not look into processes.
    """
    if not PY_SPY.exists():
        raise BenchError("py-spy is missing: run it by `make profile`")
    options = ["--rate", str(SAMPLES_A_SECOND), "--duration", str(int(seconds)), "--output", str(out)]
    command = [str(PY_SPY), "record", "--nonblocking", *options, "--pid", str(child.pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as recorder:
        try:
            yield
        finally:
            _, said = recorder.communicate(timeout=seconds + GRACE_SECONDS)
    if recorder.returncode:
        raise BenchError(f"py-spy: {said.decode()[-300:]} (it needs root, or ptrace_scope 0)")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"profile: {error}")
