"""The pause lease on a real PostgreSQL: whose it is, and that it ends."""

import psycopg
import pytest
from pydantic import SecretStr

from ops.kit.errors import UnsafeError
from ops.kit.pause import Lease, Timing, holder_of
from ops.kit.postgres import database
from runtime.settings import DatabaseSettings

GROUP = "g"


def lease(url: str, why: str) -> Lease:
    settings = DatabaseSettings(database_url=SecretStr(url))
    return Lease(lambda: database(settings), GROUP, why, Timing())


async def reason(url: str) -> str | None:
    async with database(DatabaseSettings(database_url=SecretStr(url))) as connection:
        holder = await holder_of(connection, GROUP)
        return None if holder is None else holder.reason


def run_out(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE pause SET until = now() - interval '1 s'")


async def test_a_pause_is_its_takers_until_it_is_released(migrated_database_url: str) -> None:
    url = migrated_database_url
    ours, other = lease(url, "rewind by ann"), lease(url, "state rebuild by ben")
    await ours.take()
    await ours.take()

    with pytest.raises(UnsafeError, match=r"paused already: rewind by ann \(\w{8}\) \(15 s left\)"):
        await other.take()
    await other.release()
    assert (await reason(url) or "").startswith("rewind by ann")

    await ours.release()
    assert await reason(url) is None
    await other.take()
    assert (await reason(url) or "").startswith("state rebuild by ben")


async def test_a_pause_that_ran_out_is_not_renewed_but_can_be_taken_again(migrated_database_url: str) -> None:
    url = migrated_database_url
    ours, other = lease(url, "rewind by ann"), lease(url, "state rebuild by ben")
    await ours.take()
    run_out(url)

    with pytest.raises(UnsafeError, match="ran out"):
        await ours.renew()
    await ours.take()
    await ours.renew_for_commit()
    run_out(url)
    await other.take()

    with pytest.raises(UnsafeError, match="paused already: state rebuild by ben"):
        await ours.take()
