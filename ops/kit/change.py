"""Carries out what an operator changes: plan, show, execute, report, in one order for every command.

Without --execute the plan is shown and nothing is touched. With it the same plan is shown and carried out, and what was
done is said even if showing it fails. JSON is one document: `{"executed": bool, "plan": ..., "result": ... or null}`,
written from the values that `plan` and `execute` return.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import RenderableType

from ops.kit.errors import StaleError
from ops.kit.output import OutputFormat, reporting, say, stdout, write_json

ONLY_A_PLAN = "nothing was changed: this is the plan; --execute carries it out"

Plan = TypeVar("Plan")
Result = TypeVar("Result")


class Change(ABC, Generic[Plan, Result]):
    """Defines one change. `plan` and `execute` print nothing; the other methods say what they return in words."""

    async def settle(self) -> None:
        """Finish what an interrupted run left, before the plan is made; called with --execute only."""

    @abstractmethod
    async def plan(self) -> Plan:
        """Look at what there is, and touch nothing.

        Raises:
            OpsError: there is nothing to change, or a server is away.
        """

    def refuse(self, plan: Plan) -> None:
        """Raise UnsafeError if the plan must not be carried out; called when it has been shown."""

    def nothing_to_do(self, plan: Plan) -> bool:
        """Whether `execute` would change nothing; it is not called then."""
        return False

    @abstractmethod
    async def execute(self, plan: Plan) -> Result:
        """Carry the plan out.

        Raises:
            StaleError: it no longer fits what exists; nothing was touched.
            OpsError: it could not be carried out; the message says how far it came.
        """

    @abstractmethod
    def tables(self, plan: Plan) -> Iterable[RenderableType]:
        """The plan as tables."""

    def notes(self, plan: Plan) -> Iterable[str]:
        """Say, line by line, what an operator should know beside the tables."""
        return ()

    @abstractmethod
    def done(self, plan: Plan, result: Result) -> str:
        """Say in one line what was done."""


@dataclass(frozen=True, slots=True)
class Report(Generic[Plan, Result]):
    """Tells the last plan, and the result if it was carried out."""

    plan: Plan
    result: Result | None = None


async def carry_out(change: Change[Plan, Result], *, execute: bool, output: OutputFormat) -> Report[Plan, Result]:
    """Plan and show a change, and carry it out if that is asked for and there is something to do.

    Raises:
        OpsError: as `Change.plan`, `refuse` and `execute`; a plan that was refused has been shown.
    """
    if execute:
        await change.settle()
    plan = await change.plan()
    _show(change, plan, output)
    if not execute or change.nothing_to_do(plan):
        _write(plan, None, output)
        change.refuse(plan)
        if not change.nothing_to_do(plan):
            say(ONLY_A_PLAN)
        return Report(plan)
    try:
        change.refuse(plan)
        result = await change.execute(plan)
    except StaleError:
        fresh = await change.plan()
        _show(change, fresh, output)
        _write(fresh, None, output)
        raise
    done = change.done(plan, result)
    with reporting(done):
        _write(plan, result, output)
    say(done)
    return Report(plan, result)


def _show(change: Change[Plan, Result], plan: Plan, output: OutputFormat) -> None:
    if output is OutputFormat.TABLE:
        for grid in change.tables(plan):
            stdout().print(grid)
    for note in change.notes(plan):
        say(note)


def _write(plan: object, result: object, output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        write_json({"executed": result is not None, "plan": plan, "result": result})
