"""A pause of the group's processors as a lease: renewed while we live, ended by us or by its own end.

`processors.gate` keeps the processors' side.
"""

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from ops.clients import admin_client
from ops.database import database
from ops.errors import OpsError, UnreachableError, UnsafeError
from ops.lag_kafka import DEAD, describe_group
from ops.output import say
from ops.state.place import StateSettings, query
from processors.gate import CHANNEL

LEASE_SECONDS = 15
RENEW_SECONDS = 5.0
EMPTY_SECONDS = 60.0  # processors finish their transactions first
LOOK_SECONDS = 0.3
_ENDED = ("Empty", DEAD)


@asynccontextmanager
async def paused(settings: StateSettings, why: str) -> AsyncIterator[None]:
    """Processors of the group have left it while the body runs, and come back afterwards.

    When renewing fails, the body goes on: it must be safe beside processors, and is merely no longer alone.

    Raises:
        UnsafeError: someone else has paused the group.
        UnreachableError: the group did not become empty in time.
    """
    reason = f"{why} by {getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
    async with database(settings) as connection:
        await _take(connection, settings.processor_group, reason)
        renewing = asyncio.create_task(_renew(settings, reason))
        try:
            async with admin_client(settings) as admin:
                await _until_empty(admin, settings.processor_group)
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            await query(connection, "end_pause", {"group": settings.processor_group, "reason": reason})
            await connection.execute(f"NOTIFY {CHANNEL}")


async def _take(connection: psycopg.AsyncConnection, group: str, reason: str) -> None:
    if not await _write(connection, group, reason):
        rows = await query(connection, "pause_of_group", {"group": group})
        holder = f"{rows[0][1]} ({rows[0][0]:.0f} s left)" if rows else "someone who has just ended it; try again"
        raise UnsafeError(f"the group {group} is paused already: {holder}")
    await connection.execute(f"NOTIFY {CHANNEL}")


async def _write(connection: psycopg.AsyncConnection, group: str, reason: str) -> bool:
    parameters = {"group": group, "reason": reason, "seconds": LEASE_SECONDS}
    return bool(await query(connection, "take_pause", parameters))


async def _renew(settings: StateSettings, reason: str) -> None:
    """Write the lease anew every few seconds, on connections of its own: the body's may be busy for long."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            async with asyncio.timeout(RENEW_SECONDS), database(settings) as connection:
                kept = await _write(connection, settings.processor_group, reason)
        except (OpsError, TimeoutError) as error:
            say(f"warning: the pause could not be renewed ({error}); processors may come back")
            continue
        if not kept:
            say("warning: someone else has taken the pause over")
            return


async def _until_empty(admin: AIOKafkaAdminClient, group: str) -> None:
    members: list[str] = []
    try:
        async with asyncio.timeout(EMPTY_SECONDS):
            while True:
                state, found = await describe_group(admin, group)
                if state in _ENDED:
                    return
                members = sorted(member.client_id for member in found)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as error:
        left = ", ".join(members) or "nobody by name"
        raise UnreachableError(f"the group {group} did not become empty within {EMPTY_SECONDS:g} s: {left}") from error
