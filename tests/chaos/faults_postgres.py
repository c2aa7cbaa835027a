"""PostgreSQL stopped, killed, frozen, slow, locked, read-only, full of connections, and back from an older copy."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import LiteralString

import psycopg
from psycopg.errors import AdminShutdown, CrashShutdown

from tests.chaos.fault import Fault, thoroughly, within
from tests.chaos.faults_network import misbehaving
from tests.chaos.faults_process import frozen
from tests.chaos.proxy import delayed
from tests.chaos.world import World

SLOW_SECONDS = 0.3
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringover-processor'"
TAKE_AGAIN_SECONDS = 0.1
CONNECT_SECONDS = 5
READ_ONLY = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
WRITABLE = ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
STATEMENTS_SECONDS = 60  # another fault may have ended the server
END_SECONDS = 10  # of PostgreSQL, from the end of a session to that of its process


async def stop_immediately(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """`pg_ctl stop -m immediate`, and away for a while."""
    async with world.supervisor.hold(world.database):
        await thoroughly(world.database.stop_immediately)
        await asyncio.sleep(seconds)


async def kill(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Postmaster and backends by SIGKILL; started again at once."""
    await thoroughly(world.database.end)
    await asyncio.sleep(seconds)


async def restart(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """In order."""
    await thoroughly(world.database.stop)
    await asyncio.sleep(seconds)


async def freeze(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Connections stay, nothing answers."""
    async with frozen(world.database):
        await asyncio.sleep(seconds)


async def slow(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Every answer late."""
    links = [link for name, link in world.links.items() if name.endswith("-postgres")]
    async with misbehaving(links, delayed(SLOW_SECONDS)):
        await asyncio.sleep(seconds)


async def lock(world: World, chance: random.Random, seconds: float) -> None:
    """Another session has locked a table, as a careless migration would."""
    table = chance.choice(["claim", "progress"])
    async with _while_it_runs(world), await _connect(world) as connection:
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(seconds)
        await connection.rollback()


async def take_connections(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """The processors' sessions are ended and others take every place, the superuser's too, as soon as one is free."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with _while_it_runs(world), AsyncExitStack() as stack:
        first = await stack.enter_async_context(await _connect(world))
        await first.execute(OTHERS)
        taken = 1
        while loop.time() < end:
            try:
                await stack.enter_async_context(await _connect(world))
                taken += 1
            except psycopg.OperationalError:  # too many clients
                await asyncio.sleep(TAKE_AGAIN_SECONDS)
        world.note(f"{taken} connections to PostgreSQL taken")


async def read_only(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """Sessions stay and only read, as on a node that a switch-over left behind."""
    try:
        await thoroughly(_surely, world.database_url, READ_ONLY)
        await asyncio.sleep(seconds)
    finally:
        await thoroughly(_surely, world.database_url, WRITABLE)


async def restore(world: World, chance: random.Random, seconds: float) -> None:  # noqa: ARG001
    """A copy is taken, work goes on for a while, then PostgreSQL crashes and the copy is what is left."""
    database = world.database
    async with world.supervisor.hold(database):
        await thoroughly(database.stop)
        await thoroughly(database.copy)
    await asyncio.sleep(seconds)
    async with world.supervisor.hold(database):
        await thoroughly(database.stop_immediately)
        await thoroughly(database.restore)


def _surely(url: str, statements: Sequence[LiteralString]) -> None:
    """Carried out, also when the server is away at first."""
    deadline = time.monotonic() + STATEMENTS_SECONDS
    while True:
        try:
            with psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(TAKE_AGAIN_SECONDS)
        else:
            return


@asynccontextmanager
async def _while_it_runs(world: World) -> AsyncIterator[None]:
    """A fault beside this one may end PostgreSQL, and with it what this one does; else a lost session is an error."""
    pid = world.database.pid
    try:
        yield
    except psycopg.OperationalError as error:
        ended = isinstance(error, AdminShutdown | CrashShutdown)
        if not ended and not await within(END_SECONDS, lambda: world.database.pid != pid or pid is None):
            raise
        world.note("PostgreSQL ended, and what a fault did in it")


async def _connect(world: World) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(world.database_url, connect_timeout=CONNECT_SECONDS)


FAULTS = (
    Fault("postgres-stopped-immediately", "postgres", stop_immediately),
    Fault("postgres-killed", "postgres", kill),
    Fault("postgres-restarted", "postgres", restart),
    Fault("postgres-frozen", "postgres", freeze),
    Fault("postgres-slow", "postgres", slow),
    Fault("postgres-locked", "postgres", lock),
    Fault("postgres-read-only", "postgres", read_only),
    Fault("postgres-full-of-connections", "postgres", take_connections),
    Fault("postgres-older-copy", "postgres", restore),
)
