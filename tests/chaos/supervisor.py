"""Starts whatever has ended again, whatever its exit code, unless a fault holds it down; notes every end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sandbox.devstack.errors import DevstackError
from tests.chaos.units import Unit

LOOK_SECONDS = 0.1
RESTART_SECONDS = 0.5
FAILED_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Exit:
    """One program or server that ended; `code` is negative for a signal, `at` is time.time()."""

    name: str
    code: int
    at: float


class Keeper:
    """Keeps one unit running while `keep` runs."""

    def __init__(self, unit: Unit, exits: list[Exit]) -> None:
        self.unit = unit
        self.trouble = ""  # why its last start failed
        self._exits = exits
        self._holds = 0
        self._noted = True
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        """The next incarnation, now.

        Raises:
            DevstackError: it cannot be started.
        """
        async with self._busy:
            await self._start()

    async def keep(self) -> None:
        """Look after it for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.unit.pid is None:
                self._note()
                if not self._holds:
                    await self._revive()

    async def _revive(self) -> None:
        await asyncio.sleep(RESTART_SECONDS)
        async with self._busy:
            if self._holds or self.unit.pid is not None:
                return
            try:
                await self._start()
                self.trouble = ""
            except DevstackError as error:
                self.trouble = str(error)
        if self.trouble:
            await asyncio.sleep(FAILED_START_SECONDS)

    async def _start(self) -> None:
        self._noted = False
        await asyncio.to_thread(self.unit.start)

    def _note(self) -> None:
        code = self.unit.code()
        if code is not None and not self._noted:
            self._noted = True
            self._exits.append(Exit(self.unit.name, code, time.time()))

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """While this is open nobody starts it; a start that is under way ends before."""
        self._holds += 1
        try:
            async with self._busy:
                pass
            yield
        finally:
            self._holds -= 1


class Supervisor:
    """All keepers by the names of their units."""

    def __init__(self, exits: list[Exit]) -> None:
        self.keepers: dict[str, Keeper] = {}
        self._exits = exits
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, unit: Unit) -> None:
        """Start it, and look after it from now on."""
        keeper = self.keepers[unit.name] = Keeper(unit, self._exits)
        await keeper.start()
        self._tasks.append(asyncio.create_task(keeper.keep(), name=f"keeper of {unit.name}"))

    @asynccontextmanager
    async def hold(self, *units: Unit) -> AsyncIterator[None]:
        """See Keeper.hold, for several."""
        async with _all([self.keepers[unit.name] for unit in units]):
            yield

    async def close(self) -> None:
        """Look after nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def _all(keepers: list[Keeper]) -> AsyncIterator[None]:
    if not keepers:
        yield
        return
    async with keepers[0].hold(), _all(keepers[1:]):
        yield
