"""Drives an HTTP server with signed webhooks: as fast as it answers, or at a constant rate."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import generator
from benchmarks.children import environment, python
from benchmarks.errors import BenchError
from benchmarks.stats import Figures
from benchmarks.workload import Event, sign

CONNECTIONS = 64
GRACE_SECONDS = 60.0
PATH = "/wh/ringover/call-started"

_REQUEST = (
    'R[#R+1]=wrk.format("POST","%s",{["Content-Type"]="application/json",["X-Ringover-Signature"]="%s"},[==[%s]==])'
)
_DONE = """
local n=0
function request() n=n+1 if n>#R then n=1 end return R[n] end
function done(summary,latency)
  local errors=summary.errors
  io.write(string.format('RESULT {"answered":%d,"microseconds":%d,"p50":%d,"p99":%d,"broken":%d,"refused":%d}\\n',
    summary.requests,summary.duration,latency:percentile(50),latency:percentile(99),
    errors.connect+errors.read+errors.write+errors.timeout,errors.status))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Holds what a load generator saw; `unanswered` at most were under way when it stopped."""

    answered: int
    unanswered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    late_p99_ms: float = 0.0

    def figures(self) -> Figures:
        """Give what was seen as figures of a round."""
        figures = {"rate": self.answered / self.seconds, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms}
        return figures | ({"late_p99_ms": self.late_p99_ms} if self.late_p99_ms else {})


def have_wrk() -> bool:
    """Whether wrk is there; without it our own generator takes its place, and more of the machine."""
    return shutil.which("wrk") is not None


def full_speed(port: int, events: Sequence[Event], seconds: float, directory: Path) -> Load:
    """Send by 64 keep-alive connections, by each as soon as it is answered.

    Raises:
        BenchError: a connection broke, or an answer was not 2xx.
    """
    if not have_wrk():
        return at_rate(port, events, 0, seconds, directory)
    script = directory / "load.lua"
    script.write_text(_script(events), encoding="utf-8")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(script)]
    output, cpu = _run([*command, f"http://127.0.0.1:{port}"], seconds)
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise BenchError(f"wrk said nothing that can be read: {output[-500:]}")
    said = json.loads(lines[0].removeprefix("RESULT "))
    if said["broken"] or said["refused"]:
        raise BenchError(f"{said['broken']} connections broken, {said['refused']} answers not 2xx")
    return Load(
        answered=said["answered"],
        unanswered=CONNECTIONS,
        seconds=said["microseconds"] / 1e6,
        p50_ms=said["p50"] / 1e3,
        p99_ms=said["p99"] / 1e3,
        cpu_seconds=cpu,
    )


def at_rate(
    port: int, events: Sequence[Event], rate: float, seconds: float, directory: Path, *, sent: Path | None = None
) -> Load:
    """Send so many webhooks a second by the clock, whatever the server does; 0 means as fast as it answers.

    Latency counts from the moment at which a webhook was due; `sent` gets those moments, in the order of `events`.

    Raises:
        BenchError: a connection broke, or an answer was not 2xx.
    """
    requests = directory / "requests.json"
    requests.write_text(json.dumps([(event.body.decode(), sign(event.body)) for event in events]), encoding="utf-8")
    command = [*python("benchmarks.generator"), str(port), PATH, str(requests), str(rate), str(seconds)]
    command += [str(sent)] if sent is not None else []
    output, cpu = _run(command, seconds)
    said = generator.Said(**json.loads(output))
    if said.refused or said.broken or said.unanswered:
        raise BenchError(
            f"{said.broken} connections broken, {said.refused} answers not 2xx, {said.unanswered} webhooks unanswered"
        )
    return Load(
        answered=said.answered,
        unanswered=0,
        seconds=said.seconds,
        p50_ms=said.p50_ms,
        p99_ms=said.p99_ms,
        cpu_seconds=cpu,
        late_p99_ms=said.late_p99_ms,
    )


def _script(events: Sequence[Event]) -> str:
    requests = (_REQUEST % (PATH, sign(event.body), event.body.decode()) for event in events)
    return "\n".join(["local R={}", "function init(args)", *requests, "end", _DONE])


def _run(command: list[str], seconds: float) -> tuple[str, float]:
    """Standard output, and the CPU seconds that the command took."""
    before = os.times()
    try:
        found = subprocess.run(
            command, env=environment({}), capture_output=True, text=True, check=False, timeout=seconds + GRACE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} did not end in time") from error
    after = os.times()
    if found.returncode != 0:
        raise BenchError(f"{command[0]} failed: {found.stderr[-500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return found.stdout, used
