"""The load's process, seen from the runner."""

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path
from time import monotonic

from tests.chaos.journal import Journal

LOAD = "tests.chaos.load"


class Sender:
    """Started once; `acked` and `refused` are at most a second old."""

    def __init__(self, url: str, *, seed: int, rate: float, journal: Path) -> None:
        self.began = monotonic()
        self.acked = 0
        self.refused = 0
        self._words = (url, str(seed), str(rate), str(self.began), str(journal))
        self._journal = journal
        self._process: Process | None = None

    def now(self) -> float:
        """Seconds on the run's clock."""
        return monotonic() - self.began

    async def run(self) -> None:
        """Until it ends by `stop`; it is killed when this is cancelled.

        Raises:
            AssertionError: it ended with an error.
        """
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", LOAD, *self._words), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self.acked, self.refused = (int(number) for number in line.split())
            assert await process.wait() == 0, f"the load ended with {process.returncode}"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def stop(self) -> None:
        """Let it end what it has begun; `run` returns then."""
        assert self._process is not None, "run comes first"
        self._process.terminate()

    def journal(self) -> Journal:
        """All of it, after the end."""
        return Journal.read(self._journal)
