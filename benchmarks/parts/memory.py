"""Measures memory: of a processor over a long backlog, and of an ingress under very many open connections."""

import resource
import socket
import time
from contextlib import ExitStack

from benchmarks.bench import Bench, Row, Subject, attempt, resident
from benchmarks.children import check
from benchmarks.errors import BenchError
from benchmarks.generator import content_length, request
from benchmarks.load import PATH
from benchmarks.parts.processor import TEMPLATE, Backlog, fill, passed, place_of, prepare_claims
from benchmarks.programs import Place, ingress, make_topics, processor
from benchmarks.stats import MIB, Figures, flatness
from benchmarks.workload import Event, sign, started
from sandbox.devstack.ports import HOST

PREFIX = "memory."
SETTLE_SECONDS = 2.0
SPARE_FILES = 500
KEPT_SAMPLES = 200


def run(bench: Bench) -> dict[str, object]:
    """Measure each once."""
    series: list[tuple[float, float]] = []
    rows = [
        Row("processor", "ringover-processor, resident memory over a backlog", ours=True),
        Row("ingress", "ringover-ingress, resident memory under open connections", ours=True),
    ]
    subjects = [
        Subject(rows[0].name, rows[0].title, True, lambda _round: _processor(bench, series)),
        Subject(rows[1].name, rows[1].title, True, lambda _round: _ingress(bench)),
    ]
    for row, subject in zip(rows, subjects, strict=True):
        attempt(bench, row, subject, 1, 1)
    bench.kafka.delete(PREFIX)  # gigabytes
    step = max(1, len(series) // KEPT_SAMPLES)
    return {"rows": [row.as_json() for row in rows], "series": series[::step]}


def _processor(bench: Bench, series: list[tuple[float, float]]) -> Figures:
    """The most, and whether it stays: the last quarter beside the second."""
    prepare_claims(bench)
    backlog = fill(bench, Backlog(PREFIX, bench.plan.memory_records))
    with bench.databases.copy(TEMPLATE, "bench_memory") as url:
        place = place_of(bench, backlog, url, "memory")
        found = passed(bench, backlog, place.group, place.outputs, lambda: processor(place))
    series += [(sample.done, sample.resident / MIB) for sample in found.samples if sample.done]
    return found.figures | {"growth": flatness([mib for _, mib in series])}


def _ingress(bench: Bench) -> Figures:
    """After every connection has brought one webhook and stays open."""
    place = Place(bench.servers, "connections.")
    make_topics(place, 12)
    wanted = bench.plan.connections
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted + SPARE_FILES:
        raise BenchError(f"{wanted} connections need more open files than `ulimit -n` allows")
    with ingress(place, bench.servers.directory / "spool-connections") as server, ExitStack() as stack:
        idle = resident([server.child]) / MIB
        connections = [stack.enter_context(_connection(server.port, event)) for event in started(wanted)]
        time.sleep(SETTLE_SECONDS)
        check(server.child)
        if closed := sum(not _is_open(connection) for connection in connections):
            raise BenchError(f"the ingress closed {closed} of {wanted} connections")
        return {"connections": float(wanted), "idle_mib": idle, "most_mib": resident([server.child]) / MIB}


def _connection(port: int, event: Event) -> socket.socket:
    """An open connection that has brought one webhook."""
    connection = socket.create_connection((HOST, port), timeout=10)
    connection.sendall(request(PATH, event.body.decode(), sign(event.body)))
    answer = b""
    head, separator, body = b"", b"", b""
    while not separator or len(body) < content_length(head):
        received = connection.recv(4096)
        if not received:
            raise BenchError("the ingress closed a connection")
        answer += received
        head, separator, body = answer.partition(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 202"):
        raise BenchError(f"a webhook was answered {answer[:40]!r}")
    return connection


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True  # open, and nothing to read
    except OSError:
        return False
