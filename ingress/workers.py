"""Several ingress processes on one port, and one admin port that answers for all of them.

Each worker is an ingress of its own (`ingress.worker`): connections are spread by the kernel (SO_REUSEPORT), limits and
spools are per worker. When one ends unasked, all end: the platform starts the process anew, as it would start a single
one, and an exit code of 78 is not hidden by trying again.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from ingress.settings import IngressSettings
from ingress.workers_metrics import merged
from runtime.admin import AddressInUseError, answer, exposed, serving
from runtime.errors import PipelineError, RefusedError
from runtime.lifecycle import EXIT_REFUSED, Stop
from runtime.logs import logger

ASK_SECONDS = 2.0  # for a worker to answer on its socket

log = logger(__name__)


class WorkerEndedError(PipelineError):
    """A worker ended although nobody told it to."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker."""

    number: int
    process: asyncio.subprocess.Process
    socket: Path

    async def ask(self, path: str) -> tuple[int, str]:
        """What its admin endpoint answers; status 503 when it does not."""
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        connector = aiohttp.UnixConnector(str(self.socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://worker{path}") as response,
            ):
                return response.status, (await response.text()).strip()
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return 503, "does not answer"


async def serve_with(settings: IngressSettings, stop: Stop, workers: int) -> None:
    """Serve with so many processes until `stop` is set; then each drains as a single one does.

    Raises:
        AddressInUseError: a port is taken.
        RefusedError, WorkerEndedError: a worker ended; the others were stopped.
    """
    _refuse_taken_port(settings)
    with _directory() as directory:
        running: list[Worker] = []
        # Answers probes from the first moment to the last.
        async with _admin(settings, running, stop), _workers(running, Path(directory), workers):
            log.info("workers.started", pids=[worker.process.pid for worker in running])
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, _reload, running)
            ends = [asyncio.ensure_future(worker.process.wait()) for worker in running]
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait([*ends, stopping], return_when=asyncio.FIRST_COMPLETED)
            unasked = None if stop.is_set() else next(end.result() for end in ends if end.done())
            stop.set()  # unready
            _signal(running, signal.SIGTERM)
            codes = await asyncio.gather(*ends)
            stopping.cancel()
    _judge(unasked, codes)


def _judge(unasked: int | None, codes: Sequence[int]) -> None:
    """Raise for the worker that ended first, or for one that failed to drain."""
    fine = (0, -signal.SIGTERM)  # told to stop before it could listen to that
    code = unasked if unasked is not None else next((code for code in codes if code not in fine), 0)
    if code == EXIT_REFUSED:
        raise RefusedError("a worker refuses to go on; its last log line says why")
    if unasked is not None or code:
        raise WorkerEndedError(f"a worker ended with exit code {code}; the others were stopped")


def _directory() -> "tempfile.TemporaryDirectory[str]":
    """For the workers' sockets, by which the parent asks them for their metrics."""
    try:
        return tempfile.TemporaryDirectory(prefix="ringover-ingress-")
    except OSError as error:
        raise RefusedError(f"--workers needs a writable directory for temporary files (TMPDIR): {error}") from error


def _refuse_taken_port(settings: IngressSettings) -> None:
    """Workers would share the port with any process of the same user: only a bind without sharing tells.

    Raises:
        AddressInUseError: the port is taken or the host is not ours.
        RefusedError: each worker would get a port of its own.
    """
    host, port = settings.ingress_host, settings.ingress_port
    if port == 0:
        raise RefusedError("INGRESS_PORT=0 gives each worker another port: set one, or use one worker")
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        raise AddressInUseError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


@asynccontextmanager
async def _workers(running: list[Worker], directory: Path, count: int) -> AsyncIterator[None]:
    """Start them; kill what is still there when the context is left."""
    try:
        for number in range(count):
            path = directory / f"{number}.sock"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ingress.worker", str(number), str(count), str(path)),
                stdin=asyncio.subprocess.PIPE,  # ends when we do, however that happens
            )
            running.append(Worker(number, process, path))
        yield
    finally:
        _signal(running, signal.SIGKILL)
        await asyncio.gather(*(worker.process.wait() for worker in running))


def _signal(running: Sequence[Worker], number: signal.Signals) -> None:
    for worker in running:
        if worker.process.returncode is None:
            worker.process.send_signal(number)


def _reload(running: Sequence[Worker]) -> None:
    """Have credentials read anew by those that listen to it; who still starts reads them anyway."""
    _signal([worker for worker in running if worker.socket.exists()], signal.SIGHUP)


@asynccontextmanager
async def _admin(settings: IngressSettings, running: Sequence[Worker], stop: Stop) -> AsyncIterator[None]:
    async def ask(path: str) -> list[tuple[int, str]]:
        return await asyncio.gather(*(worker.ask(path) for worker in running))

    async def livez(_request: web.Request) -> web.Response:
        return _all(await ask("/livez"))

    async def readyz(_request: web.Request) -> web.Response:
        return answer("stopping") if stop.is_set() else _all(await ask("/readyz"))

    async def metrics(_request: web.Request) -> web.Response:
        texts = {str(number): text for number, (status, text) in enumerate(await ask("/metrics")) if status == 200}
        return exposed(merged(texts))

    handlers = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    async with serving(handlers, settings.ingress_host, settings.ingress_admin_port):
        yield


def _all(answers: Sequence[tuple[int, str]]) -> web.Response:
    """Well only when all are; what differs from `ok` is said with the worker's number."""
    said = [f"worker {number}: {text}" for number, (_, text) in enumerate(answers) if text != "ok"]
    if not answers or any(status != 200 for status, _ in answers):
        return answer("; ".join(said) or "no worker runs yet")
    return answer(None, "; ".join(said) or None)
