"""Parts of the chaos world: who is started again and when, and disks that are full until they are freed."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import psycopg
import pytest
from psycopg.errors import AdminShutdown

from sandbox.devstack.processes import Surroundings
from tests.chaos import faults_postgres
from tests.chaos.cluster import DIRECT, Listener, Node, render_properties
from tests.chaos.disk import Disk, make_disk
from tests.chaos.faults import FAULTS
from tests.chaos.supervisor import RESTART_SECONDS, Exit, Supervisor
from tests.chaos.units import Incarnation, Program
from tests.chaos.world import World
from tests.support.waiting import until


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Something that runs for ever."""
    with (tmp_path / "lock").open("wb") as lock:
        around = Surroundings(log_dir=tmp_path, lock_descriptor=lock.fileno(), aborted=lambda: False)
        endless = Incarnation(("http.server", "--bind", "127.0.0.1", "0"), {})
        made = Program("endless", endless, admin_port=0, around=around)
        yield made
        made.end()


@pytest.fixture
async def exits(program: Program) -> AsyncIterator[tuple[Supervisor, list[Exit]]]:
    ended: list[Exit] = []
    supervisor = Supervisor(ended)
    await supervisor.start(program)
    yield supervisor, ended
    await supervisor.close()


async def running_anew(program: Program, old: int | None) -> bool:
    return program.pid not in {None, old}


async def test_what_ends_is_noted_and_started_again(program: Program, exits: tuple[Supervisor, list[Exit]]) -> None:
    _, ended = exits
    first = program.pid
    await asyncio.to_thread(program.end)

    await until(lambda: running_anew(program, first), what="the next incarnation")

    assert [(one.name, one.code) for one in ended] == [("endless", -9)]


async def test_what_is_held_stays_down_until_it_is_let_go(
    program: Program, exits: tuple[Supervisor, list[Exit]]
) -> None:
    supervisor, ended = exits
    first = program.pid
    async with supervisor.hold(program):
        await asyncio.to_thread(program.end)

        async def noted() -> bool:
            return len(ended) == 1

        await until(noted, what="the end noted")
        assert not await _within(3 * RESTART_SECONDS, program)

    await until(lambda: running_anew(program, first), what="the next incarnation")


async def test_the_next_incarnation_may_be_another_program(
    program: Program, exits: tuple[Supervisor, list[Exit]]
) -> None:
    _, ended = exits
    program.next = Incarnation(("this",), {})
    await asyncio.to_thread(program.end)

    async def ended_by_itself() -> bool:
        return len(ended) >= 2

    await until(ended_by_itself, what="the end of the other program")
    assert ended[1].code == 0
    program.next = None
    await until(lambda: _plain(program), what="the usual program")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = make_disk(tmp_path / "disk", 8)
    if made.obstacle:
        pytest.skip(made.obstacle)
    yield made
    made.unmount()


def test_a_full_disk_takes_nothing_until_it_is_freed(disk: Disk) -> None:
    (disk.path / "data").write_bytes(bytes(100_000))
    disk.fill()

    with pytest.raises(OSError, match="No space left") as refused:
        (disk.path / "more").write_bytes(bytes(1))
    assert refused.value.errno == errno.ENOSPC

    disk.free()
    (disk.path / "more").write_bytes(bytes(1_000_000))


def test_each_client_of_a_broker_is_told_its_own_address() -> None:
    node = Node(2, Listener(DIRECT, 1, 1), {"ingress": Listener("INGRESS", 2, 20)}, voters={1: 11, 2: 12, 3: 13})

    lines = render_properties(node, Path("/data")).splitlines()

    assert "advertised.listeners=DIRECT://127.0.0.1:1,INGRESS://127.0.0.1:20" in lines
    assert "listeners=DIRECT://127.0.0.1:1,INGRESS://127.0.0.1:2,CONTROLLER://127.0.0.1:12" in lines
    assert "controller.quorum.voters=1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13" in lines
    assert "offsets.topic.replication.factor=3" in lines
    assert "min.insync.replicas=2" in lines


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


async def _plain(program: Program) -> bool:
    return program.plain and program.pid is not None


async def _within(seconds: float, program: Program) -> bool:
    try:
        await until(lambda: running_anew(program, None), seconds=seconds, what="a start")
    except AssertionError:
        return False
    return True


class Database:
    """As a fault sees it; `pid` is another one from the second look on, or not."""

    def __init__(self, *pids: int | None) -> None:
        self._pids = list(pids)

    @property
    def pid(self) -> int | None:
        return self._pids.pop(0) if len(self._pids) > 1 else self._pids[0]


@dataclass
class Broken:
    """A world of which only PostgreSQL is there."""

    database: Database
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("pids", "error", "passed_over"),
    [
        ((7, 8), psycopg.OperationalError("closed the connection"), True),
        ((None, None), psycopg.OperationalError("connection refused"), True),
        ((7, 7), AdminShutdown("terminating connection"), True),
        ((7, 7), psycopg.OperationalError("closed the connection"), False),
        ((7, 8), psycopg.ProgrammingError("no such table"), False),
    ],
)
async def test_fault_loses_its_session_only_to_another_fault(
    monkeypatch: pytest.MonkeyPatch, pids: tuple[int | None, ...], error: psycopg.Error, *, passed_over: bool
) -> None:
    monkeypatch.setattr(faults_postgres, "END_SECONDS", 0.1)
    world = Broken(Database(*pids))

    def fail() -> None:
        raise error

    with nullcontext() if passed_over else pytest.raises(type(error)):
        async with faults_postgres._while_it_runs(cast(World, world)):
            fail()

    assert len(world.notes) == passed_over
