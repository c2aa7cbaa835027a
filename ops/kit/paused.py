"""A pause of the group's processors for as long as something is done without them (`ops.kit.pause`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.kit.errors import OpsError, UnreachableError, UnsafeError
from ops.kit.groups import Group
from ops.kit.kafka import admin_client
from ops.kit.operator import who
from ops.kit.output import say
from ops.kit.pause import Lease, Timing
from ops.kit.postgres import database
from ops.state.session import StateSettings

EMPTY_SECONDS = 60.0  # processors finish their transactions first
LOOK_SECONDS = 0.3
TIMING = Timing()


@asynccontextmanager
async def paused(settings: StateSettings, why: str) -> AsyncIterator[None]:
    """Processors of the group have left it while the body runs, and come back afterwards.

    When renewing fails, the body goes on: it must be safe beside processors, and is merely no longer alone.

    Raises:
        UnsafeError: someone else has paused the group.
        UnreachableError: the group did not become empty in time.
    """
    # A connection for each step: one that broke does not end the pause.
    lease = Lease(lambda: database(settings), settings.processor_group, f"{why} by {who()}", TIMING)
    await lease.take()
    keeping = asyncio.create_task(_keep(lease))
    try:
        async with admin_client(settings) as admin:
            await _until_empty(Group(admin, settings.processor_group))
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await lease.release()


async def _keep(lease: Lease) -> None:
    """Take the pause again every few seconds, also when it ran out meanwhile, until someone else has it."""
    while True:
        await asyncio.sleep(TIMING.renew_every)
        try:
            async with asyncio.timeout(TIMING.renew_every):
                await lease.take()
        except UnsafeError:
            say("warning: someone else has taken the pause over")
            return
        except (OpsError, TimeoutError) as error:
            say(f"warning: the pause could not be renewed ({error}); processors may come back")


async def _until_empty(group: Group) -> None:
    members: list[str] = []
    try:
        async with asyncio.timeout(EMPTY_SECONDS):
            while True:
                found = await group.state()
                if found.empty:
                    return
                members = sorted(member.client_id for member in found.members)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as error:
        left = ", ".join(members) or "nobody by name"
        raise UnreachableError(
            f"the group {group.name} did not become empty within {EMPTY_SECONDS:g} s: {left}"
        ) from error
