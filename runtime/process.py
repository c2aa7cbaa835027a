"""The frame of both programs: arguments, settings, logs, then the service until it is told to stop."""

import sys
from collections.abc import Awaitable, Callable

from runtime import logs
from runtime.lifecycle import Stop, run
from runtime.settings import EXIT_USAGE, LogSettings, S, describe, load, masked
from runtime.tracing import VARIABLES


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
    settings = load(settings_type)
    assert isinstance(settings, LogSettings)  # both programs log
    logs.configure(service=command, level=settings.log_level, style=settings.log_format)
    logs.logger(__name__).info("process.starting", **masked(settings))
    return run(lambda stop: serve(settings, stop))
