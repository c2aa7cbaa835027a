"""The frame of both programs: arguments, settings, logs, then the service until it is told to stop."""

import sys
from collections.abc import Awaitable, Callable, Sequence

from runtime import logs
from runtime.lifecycle import Stop, run
from runtime.settings import EXIT_USAGE, LogSettings, S, describe, load, masked
from runtime.tracing import VARIABLES

MAX_WORKERS = 256
_WORKERS_OPTION = ("--workers N", "Processes on the same port, for machines with more processors (default: 1)")


def run_process(command: str, summary: str, settings_type: type[S], serve: Callable[[S, Stop], Awaitable[None]]) -> int:
    """Run `serve(settings, stop)` as the program `command`, which takes no arguments; returns the exit code.

    Exit codes: 0 stopped as told, 1 failed, 2 wrong usage or settings, 78 an operator must look.
    """
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(describe(command, summary, settings_type, more=VARIABLES))
        return 0
    if arguments:
        sys.stderr.write(f"error: {command} takes no arguments; see {command} --help\n")
        return EXIT_USAGE
    settings = _begin(command, settings_type)
    return run(lambda stop: serve(settings, stop))


def run_workers(
    command: str, summary: str, settings_type: type[S], serve: Callable[[S, Stop, int], Awaitable[None]]
) -> int:
    """The same for a program that takes `--workers N`: `serve(settings, stop, workers)`."""
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(describe(command, summary, settings_type, options=[_WORKERS_OPTION], more=VARIABLES))
        return 0
    workers = _workers(arguments)
    if workers is None:
        takes = f"takes no arguments but --workers N, from 1 to {MAX_WORKERS}"
        sys.stderr.write(f"error: {command} {takes}; see {command} --help\n")
        return EXIT_USAGE
    settings = _begin(command, settings_type)
    return run(lambda stop: serve(settings, stop, workers))


def _begin(command: str, settings_type: type[S]) -> S:
    settings = load(settings_type)
    assert isinstance(settings, LogSettings)  # both programs log
    logs.configure(service=command, level=settings.log_level, style=settings.log_format)
    logs.logger(__name__).info("process.starting", **masked(settings))
    return settings


def _workers(arguments: Sequence[str]) -> int | None:
    """The number in the arguments; None when they are wrong."""
    match arguments:
        case []:
            return 1
        case ["--workers", text]:
            pass
        case [joined] if joined.startswith("--workers="):
            text = joined.partition("=")[2]
        case _:
            return None
    return int(text) if text.isdecimal() and 1 <= int(text) <= MAX_WORKERS else None
