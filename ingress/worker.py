"""One of several ingress processes on one port: `python -m ingress.worker NUMBER WORKERS SOCKET`, by `ingress.workers`.

It ends, as with SIGTERM, when its standard input does: so it never outlives who started it.
"""

import asyncio
import sys
from pathlib import Path

import structlog

from ingress.service import SERVICE, Place, serve
from ingress.settings import IngressSettings
from ingress.spool.leftover import directory_of
from runtime import logs
from runtime.lifecycle import Stop, run
from runtime.settings import load


def main() -> int:
    """Run one worker until it is told to stop; returns the exit code."""
    number, workers, socket = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    settings = load(IngressSettings)
    logs.configure(service=SERVICE, level=settings.log_level, style=settings.log_format)
    structlog.contextvars.bind_contextvars(worker=number)
    directory = settings.ingress_spool_dir
    place = Place(directory and directory_of(directory, number, workers), socket)
    return run(lambda stop: _serve(settings, stop, place))


async def _serve(settings: IngressSettings, stop: Stop, place: Place) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _ended, loop, stop)
    await serve(settings, stop, place)


def _ended(loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
    loop.remove_reader(sys.stdin.fileno())
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
