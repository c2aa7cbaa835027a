"""The pause lease on a real PostgreSQL: whose it is, and that it ends."""

import asyncio

import psycopg
import pytest
from pydantic import SecretStr

from ops.kit.errors import EXIT_REFUSED, UnsafeError
from ops.kit.groups import DEAD, Group, GroupMember, GroupState
from ops.kit.pause import Lease, Timing, holder_of, paused
from ops.kit.postgres import database
from runtime.settings import DatabaseSettings
from tests.support.waiting import until

GROUP = "g"


def lease(url: str, why: str, timing: Timing | None = None, *, again: bool = False) -> Lease:
    settings = DatabaseSettings(database_url=SecretStr(url))
    return Lease(lambda: database(settings), GROUP, why, timing or Timing(), again=again)


class Broker(Group):
    """A group of one member, which leaves it when a test says so."""

    def __init__(self) -> None:
        self.name = GROUP
        self.left = asyncio.Event()

    async def state(self) -> GroupState:
        member = GroupMember("stubborn-1-4f", "stubborn-1", "/127.0.0.1", ())
        return GroupState(DEAD, ()) if self.left.is_set() else GroupState("Stable", (member,))


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


async def test_a_group_that_does_not_become_empty_is_refused_and_works_again(migrated_database_url: str) -> None:
    url, said = migrated_database_url, list[str]()

    with pytest.raises(UnsafeError, match=r"after 2 s group g is not empty: stubborn-1 \(stubborn-1-4f at") as refused:
        async with paused(lease(url, "state rebuild by ben"), Broker(), 2.0, said.append):
            pytest.fail("somebody is still in the group")

    assert refused.value.exit_code == EXIT_REFUSED
    assert said == ["waiting for stubborn-1 (stubborn-1-4f at 127.0.0.1)"]
    assert await reason(url) is None


async def test_the_pause_is_kept_while_the_body_runs_and_ends_with_it(migrated_database_url: str) -> None:
    url, broker = migrated_database_url, Broker()
    broker.left.set()

    async with paused(lease(url, "state rebuild by ben"), broker, 60.0, pytest.fail):
        assert (await reason(url) or "").startswith("state rebuild by ben")

    assert await reason(url) is None


async def test_a_pause_with_a_commit_under_way_is_left_to_end_by_itself(migrated_database_url: str) -> None:
    url, broker = migrated_database_url, Broker()
    broker.left.set()
    ours = lease(url, "rewind by ann")

    async def broken_off() -> None:
        async with paused(ours, broker, 60.0, pytest.fail):
            await ours.renew_for_commit()
            raise UnsafeError("another process committed over the new offsets")

    with pytest.raises(UnsafeError, match="committed over"):
        await broken_off()

    assert (await reason(url) or "").startswith("rewind by ann")
    await ours.release()
    assert await reason(url) is None


@pytest.mark.parametrize("again", [True, False])
async def test_a_pause_that_ran_out_ends_a_rewind_and_is_taken_again_by_a_rebuild(
    migrated_database_url: str, *, again: bool
) -> None:
    url, broker = migrated_database_url, Broker()
    broker.left.set()
    ours = lease(url, "ours", Timing(renew_every=0.5), again=again)

    async def noticed() -> bool:
        try:
            ours.check()
        except UnsafeError as error:
            assert not again
            return "ran out" in str(error)
        return again and await reason(url) is not None

    async with paused(ours, broker, 60.0, pytest.fail):
        run_out(url)
        await until(noticed, what="the lease taken again, or known to be lost")
