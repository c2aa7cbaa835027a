"""Measures latency: from the moment a webhook is due to be sent until its event is seen by one who reads committed."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import load
from benchmarks.bench import Bench, Row, Subject, attempt
from benchmarks.children import environment, python
from benchmarks.errors import BenchError
from benchmarks.parts.processor import LOG_NAME, TEMPLATE, prepare_claims
from benchmarks.programs import Place, ingress, make_topics, processor
from benchmarks.stats import Figures, cpu_per, percentile
from benchmarks.workload import FIRST_CALL, Event, started

PARTITIONS = 12
RATE = 500.0
WARMUP_SECONDS = 3.0
GRACE_SECONDS = 60.0
WARMUP_CALLS = 100_000  # numbers kept apart


def run(bench: Bench) -> dict[str, object]:
    """Send 500 webhooks a second for a minute, once."""
    prepare_claims(bench)
    row = Row("ours", "from HTTP request to committed event", ours=True, at={"rate": RATE})
    attempt(bench, row, Subject(row.name, row.title, True, lambda _round: _once(bench)), 1, 1)
    return {"rows": [row.as_json()]}


def _once(bench: Bench) -> Figures:
    with ExitStack() as stack:
        url = stack.enter_context(bench.databases.copy(TEMPLATE, "bench_latency"))
        place = Place(bench.servers, "latency.", url, "latency", LOG_NAME)
        make_topics(place, PARTITIONS)
        worker = stack.enter_context(processor(place, wait=True))
        server = stack.enter_context(ingress(place, bench.servers.directory / "spool-latency"))
        warm = started(int(RATE * WARMUP_SECONDS), first=FIRST_CALL - WARMUP_CALLS)
        load.at_rate(server.port, warm, RATE, WARMUP_SECONDS, bench.servers.directory)
        events = started(int(RATE * bench.plan.latency_seconds), first=FIRST_CALL)
        before = bench.cpu([server.child, worker])
        latencies, late = _measure(bench, place, server.port, events)
        used = {name: seconds - before[name] for name, seconds in bench.cpu([server.child, worker]).items()}
    figures = {f"p{name}_ms": percentile(latencies, at) * 1e3 for name, at in (("50", 50), ("99", 99), ("999", 99.9))}
    return figures | {"worst_ms": max(latencies) * 1e3, "late_p99_ms": late} | cpu_per(used, len(latencies))


def _measure(bench: Bench, place: Place, port: int, events: list[Event]) -> tuple[list[float], float]:
    """Seconds from due to seen of every webhook; and how late the generator was, in ms.

    Raises:
        BenchError: an event did not come out.
    """
    directory = bench.servers.directory
    out, sent = directory / "seen.json", directory / "sent.json"
    with _reader(place, events, out) as reader:
        seconds = len(events) / RATE
        done = load.at_rate(port, events, RATE, seconds, directory, sent=sent)
        reader.wait(GRACE_SECONDS)
    due: list[float] = json.loads(sent.read_text(encoding="utf-8"))
    seen: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
    missing = [event for event, _ in zip(events, due, strict=False) if event.call_id not in seen]
    if missing or done.answered != len(due):
        raise BenchError(f"{len(due)} sent, {done.answered} answered, {len(missing)} never came out")
    return [seen[event.call_id] - at for event, at in zip(events, due, strict=False)], done.late_p99_ms


@contextmanager
def _reader(place: Place, events: list[Event], out: Path) -> Iterator["subprocess.Popen[bytes]"]:
    wanted = [str(len(events)), events[0].call_id]
    command = [*python("benchmarks.seen"), place.servers.bootstrap_servers, *wanted, str(out), place.topics.call]
    reader = subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE)
    assert reader.stdout is not None
    try:
        if reader.stdout.readline() != b"ready\n":
            raise BenchError("the reader of events did not start")
        yield reader
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()
