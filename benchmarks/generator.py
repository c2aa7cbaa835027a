"""Sends webhooks as our own load generator, a process of its own.

`python -m benchmarks.generator PORT PATH REQUESTS RATE SECONDS [SENT]`: REQUESTS is a file with pairs of body and
signature, sent in turn. SENT is a file that gets the moment (in seconds of the machine's monotonic clock) at which each
was due, by its number. Prints one JSON object.
"""

import asyncio
import json
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import cast

import uvloop

from benchmarks.stats import percentile

HOST = "127.0.0.1"
CONNECTIONS = 64
TICK_SECONDS = 0.001
DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Said:
    """Is what it prints."""

    answered: int
    refused: int
    broken: int
    unanswered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float


@dataclass(slots=True)
class Seen:
    """Holds what it has seen so far; seconds."""

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0


class Connection(asyncio.Protocol):
    """Is a keep-alive connection with at most one request under way."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._due: float | None = None  # of the request under way
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        assert self._transport is not None
        self._due = due
        self._load.seen.late.append(monotonic() - due)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; tells the load once an answer is complete."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < content_length(head):
            return
        due, self._buffer, self._due = self._due, b"", None
        if due is not None and head[9:10] == b"2":
            self._load.seen.latencies.append(monotonic() - due)
        else:
            self._load.seen.refused += 1
        self._load.answered(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._load.lost(answer_owed=self._due is not None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Load:
    """Sends by the clock, or whenever a connection is idle when the rate is 0."""

    def __init__(self, requests: list[bytes], rate: float) -> None:
        self.seen = Seen()
        self.due: list[float] = []
        self._requests = requests
        self._rate = rate
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()  # moments at which webhooks were due that no connection was free for
        self._under_way = 0
        self._sent = 0
        self._closing = False

    async def run(self, port: int, seconds: float) -> float:
        """Send for so long, and wait for the answers; the seconds it took."""
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: Connection(self), HOST, port) for _ in range(CONNECTIONS)]
        began = monotonic()
        for _, connection in made:
            self.idle(connection)
        while (now := monotonic()) < began + seconds:
            self._plan(began, now)
            await asyncio.sleep(TICK_SECONDS)
        self._closing = True
        deadline = monotonic() + DRAIN_SECONDS
        while self._under_way and monotonic() < deadline:  # noqa: ASYNC110 - once a millisecond is often enough
            await asyncio.sleep(TICK_SECONDS)
        lasted = monotonic() - began
        for _, connection in made:
            connection.close()
        return lasted

    @property
    def under_way(self) -> int:
        """Requests sent and not answered."""
        return self._under_way

    def answered(self, connection: Connection) -> None:
        """Note that an answer is complete."""
        self._under_way -= 1
        self.idle(connection)

    def idle(self, connection: Connection) -> None:
        """Note that a connection is free."""
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        elif self._rate == 0 and not self._closing:
            self._send(connection, monotonic())
        else:
            self._idle.append(connection)

    def lost(self, *, answer_owed: bool) -> None:
        """Note that a connection broke, or that we closed it at the end."""
        if not self._closing or answer_owed:
            self.seen.broken += 1
            self._under_way -= answer_owed

    def _plan(self, began: float, now: float) -> None:
        """What has become due."""
        while self._rate and (due := began + len(self.due) / self._rate) <= now:
            self.due.append(due)
            if self._idle:
                self._send(self._idle.popleft(), due)
            else:
                self._waiting.append(due)

    def _send(self, connection: Connection, due: float) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        self._under_way += 1
        connection.send(request, due)


def content_length(head: bytes) -> int:
    """The length of an answer's body; 0 when its head does not say."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def request(path: str, body: str, signature: str) -> bytes:
    """Write one request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"X-Ringover-Signature: {signature}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    )
    return (head + body).encode()


def said(load: Load, lasted: float) -> Said:
    """Sum up what there is to say at the end."""
    seen = load.seen
    return Said(
        answered=len(seen.latencies),
        refused=seen.refused,
        broken=seen.broken,
        unanswered=load.under_way,
        seconds=lasted,
        p50_ms=percentile(seen.latencies, 50) * 1e3 if seen.latencies else 0.0,
        p99_ms=percentile(seen.latencies, 99) * 1e3 if seen.latencies else 0.0,
        late_p99_ms=percentile(seen.late, 99) * 1e3 if seen.late else 0.0,
    )


def main(arguments: list[str]) -> None:
    """Send, and say what came of it."""
    port, path, requests, rate, seconds, *sent = arguments
    pairs = json.loads(Path(requests).read_text(encoding="utf-8"))
    load = Load([request(path, body, signature) for body, signature in pairs], float(rate))
    lasted = uvloop.run(load.run(int(port), float(seconds)))
    for out in sent:
        Path(out).write_text(json.dumps(load.due), encoding="utf-8")
    sys.stdout.write(json.dumps(asdict(said(load, lasted))))


if __name__ == "__main__":
    main(sys.argv[1:])
