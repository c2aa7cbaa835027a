"""The step that moves the offsets: done once if nobody interferes, again if a zombie did, and given up after three."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.kit.errors import OpsError, UnreachableError, UnsafeError
from ops.rewind import execute, run
from ops.rewind.execute import Execution, RewindRequest, unbroken
from ops.rewind.plan import PartitionPosition, RewindPlan, plan_moves
from ops.rewind.read import RewindSession
from ops.rewind.run import MoveOffsets
from ops.rewind.target import ToEarliest, ToTargets, parse_plan

MOVES = plan_moves(ToEarliest(), [PartitionPosition(0, 50, 0, 60), PartitionPosition(1, 0, 0, 60)])
PLAN = RewindPlan("g", "raw", "", MOVES)
OLD, NEW, ZOMBIE = {0: 50, 1: 0}, {0: 0, 1: 0}, {0: 52, 1: 0}


class Broker:
    """Answers what was committed, look by look, and notes the steps."""

    def __init__(self, *answers: Mapping[int, int | None] | OpsError) -> None:
        self.answers = list(answers)
        self.steps: list[str] = []

    async def committed(self, *_arguments: object, fenced: bool) -> Mapping[int, int | None]:
        assert fenced
        self.steps.append("look")
        answer = self.answers.pop(0)
        if isinstance(answer, OpsError):
            raise answer
        return answer

    async def take_over(self, *_arguments: object) -> None:
        self.steps.append("take over")


def execution(broker: Broker, monkeypatch: pytest.MonkeyPatch, *, failing: int = 0) -> Execution:
    failures = iter(range(failing))

    async def commit(*_arguments: object) -> None:
        broker.steps.append("commit")
        if next(failures, None) is not None:
            raise UnreachableError("no broker answers")

    async def renew(*_arguments: object) -> None:
        broker.steps.append("renew")

    monkeypatch.setattr(execute, "take_over", broker.take_over)
    monkeypatch.setattr(execute, "committed", broker.committed)
    monkeypatch.setattr(execute, "commit_together", commit)
    session = cast("RewindSession", SimpleNamespace(scope=None, state=object(), group=None, partitions=[]))
    made = Execution(session, PLAN, RewindRequest(ToEarliest()), lambda _line: None)
    monkeypatch.setattr(made, "_lease", cast("Any", SimpleNamespace(renew_for_commit=renew)))
    return made


ROUND = ["renew", "commit", "take over", "look"]


async def test_one_commit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(NEW)
    await execution(broker, monkeypatch).move()

    assert broker.steps == ROUND


async def test_a_zombies_commit_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(ZOMBIE, NEW)
    await execution(broker, monkeypatch).move()

    assert broker.steps == ROUND * 2


async def test_three_spoiled_commits_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(ZOMBIE, ZOMBIE, ZOMBIE)
    with pytest.raises(UnsafeError, match="another process committed over"):
        await execution(broker, monkeypatch).move()

    assert broker.steps == ROUND * 3


async def test_a_commit_whose_answer_was_lost_counts_when_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(NEW)
    await execution(broker, monkeypatch, failing=1).move()

    assert broker.steps == ROUND


async def test_a_commit_that_failed_is_repeated_and_then_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(OLD, OLD, OLD)
    with pytest.raises(UnreachableError):
        await execution(broker, monkeypatch, failing=3).move()


async def test_ctrl_c_does_not_break_off_what_must_end() -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await may_end.wait()
        ended.set()

    task = asyncio.create_task(unbroken(work()))
    await began.wait()
    task.cancel()
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_the_file_has_the_plan_that_was_shown_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [PLAN, replace(PLAN, partitions=())]

    async def read_plan(*_arguments: object) -> RewindPlan:
        return plans.pop(0)

    monkeypatch.setattr(run, "read_plan", read_plan)
    file, session = tmp_path / "plan.json", cast("RewindSession", None)
    change = MoveOffsets(session, RewindRequest(ToEarliest()), lambda _line: None, plan_out=file)

    assert [await change.plan(), await change.plan()] == [PLAN, replace(PLAN, partitions=())]

    assert parse_plan(file.read_bytes(), name="p").target == ToTargets({0: 0, 1: 0}, "p")
