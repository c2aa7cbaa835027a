"""`python -m tests.chaos.skewed MODULE`: runs a program whose wall clock follows a file, in seconds off the true one.

Covers what Python code asks: `time.time`, `time.time_ns`, and `datetime`'s `now`, `utcnow` and `today`. C code
that asks the kernel itself is not deceived; monotonic clocks stay true, as with a real step.
"""

import datetime
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Self

VARIABLE = "CHAOS_CLOCK_FILE"
LOOK_SECONDS = 0.2

true_time = time.time


class Clock:
    """The true time and what the file adds to it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._off = 0.0
        self._looked = -LOOK_SECONDS

    def off(self) -> float:
        """Seconds to add now."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._off = float(self._file.read_text(encoding="ascii"))
        return self._off


clock = Clock(Path(os.environ.get(VARIABLE, "")))


class SkewedDatetime(datetime.datetime):
    """`datetime` with the skewed clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Self:
        return cls.fromtimestamp(time.time())


def skewed_time() -> float:
    return true_time() + clock.off()


def main() -> None:
    time.time = skewed_time
    time.time_ns = lambda: int(skewed_time() * 1_000_000_000)
    datetime.datetime = SkewedDatetime  # type: ignore[misc]
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
