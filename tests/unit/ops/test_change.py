"""A change is planned, shown, refused or carried out, and reported, in the same order and JSON for every command."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import orjson
import pytest
from rich.table import Table

from ops.kit.change import ONLY_A_PLAN, Change, carry_out
from ops.kit.errors import OpsError, StaleError, UnsafeError
from ops.kit.output import OutputFormat, table


@dataclass(frozen=True, slots=True)
class Rows:
    also_in_json: ClassVar = ("half",)

    rows: int
    age: timedelta = timedelta(minutes=2)

    @property
    def half(self) -> float:
        return self.rows / 2


@dataclass(frozen=True, slots=True)
class Gone:
    rows: int


@dataclass
class Removal(Change[Rows, Gone]):
    rows: int = 4
    refusal: str | None = None
    stale: bool = False
    calls: list[str] = field(default_factory=list)

    async def settle(self) -> None:
        self.calls.append("settle")

    async def plan(self) -> Rows:
        self.calls.append("plan")
        return Rows(self.rows)

    def refuse(self, plan: Rows) -> None:
        self.calls.append("refuse")
        if self.refusal:
            raise UnsafeError(self.refusal)

    def nothing_to_do(self, plan: Rows) -> bool:
        return plan.rows == 0

    async def execute(self, plan: Rows) -> Gone:
        self.calls.append("execute")
        if self.stale:
            self.rows += 1
            raise StaleError("the plan is stale")
        return Gone(plan.rows)

    def tables(self, plan: Rows) -> Iterable[Table]:
        yield table("", ("rows",), [(plan.rows,)])

    def notes(self, plan: Rows) -> Iterable[str]:
        yield f"{plan.rows} rows are old"

    def done(self, plan: Rows, result: Gone) -> str:
        return f"removed {result.rows} of {plan.rows} rows"


def run(change: Removal, *, execute: bool, output: OutputFormat = OutputFormat.JSON) -> Gone | None:
    return asyncio.run(carry_out(change, execute=execute, output=output)).result


def test_without_execute_the_plan_is_shown_and_nothing_is_touched(capfd: pytest.CaptureFixture[str]) -> None:
    change = Removal()

    assert run(change, execute=False) is None

    out, err = capfd.readouterr()
    plan = {"rows": 4, "age": 120.0, "half": 2.0}
    assert orjson.loads(out) == {"executed": False, "plan": plan, "result": None}
    assert err.splitlines() == ["4 rows are old", ONLY_A_PLAN]
    assert change.calls == ["plan", "refuse"]


def test_with_execute_what_an_interrupted_run_left_is_settled_before_the_plan(
    capfd: pytest.CaptureFixture[str],
) -> None:
    change = Removal()

    assert run(change, execute=True) == Gone(4)

    out, err = capfd.readouterr()
    assert change.calls == ["settle", "plan", "refuse", "execute"]
    assert orjson.loads(out)["executed"] is True
    assert orjson.loads(out)["result"] == {"rows": 4}
    assert err.splitlines() == ["4 rows are old", "removed 4 of 4 rows"]


def test_table_is_shown_before_it_is_carried_out_and_json_is_not_written(capfd: pytest.CaptureFixture[str]) -> None:
    run(Removal(), execute=True, output=OutputFormat.TABLE)

    assert "rows" in (out := capfd.readouterr().out)
    assert "{" not in out


@pytest.mark.parametrize("execute", [False, True])
def test_refused_plan_is_shown_and_not_carried_out(capfd: pytest.CaptureFixture[str], execute: bool) -> None:
    change = Removal(refusal="processors are active")

    with pytest.raises(UnsafeError, match="processors are active"):
        run(change, execute=execute, output=OutputFormat.TABLE)

    assert "execute" not in change.calls
    assert "rows" in capfd.readouterr().out


def test_nothing_to_do_executes_nothing_and_says_of_no_plan(capfd: pytest.CaptureFixture[str]) -> None:
    change = Removal(rows=0)

    assert run(change, execute=True) is None

    out, err = capfd.readouterr()
    assert "execute" not in change.calls
    assert orjson.loads(out)["executed"] is False
    assert ONLY_A_PLAN not in err


def test_stale_plan_is_made_and_shown_anew(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StaleError):
        run(Removal(stale=True), execute=True)

    document = orjson.loads(capfd.readouterr().out)
    assert document["executed"] is False
    assert document["plan"]["rows"] == 5


def test_what_was_done_is_said_though_it_cannot_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    class Unshowable(Removal):
        async def execute(self, plan: Rows) -> Gone:
            return Gone(object())  # type: ignore[arg-type] # nothing that JSON has a form for

    assert run(Unshowable(), execute=True) is not None
    assert "removed" in capfd.readouterr().err


def test_error_of_the_work_is_the_commands_error() -> None:
    class Broken(Removal):
        async def execute(self, plan: Rows) -> Gone:
            raise OpsError("the broker is away")

    with pytest.raises(OpsError, match="the broker is away"):
        run(Broken(), execute=True)
