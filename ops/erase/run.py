"""Erases the rows of calls from PostgreSQL, and keeps the requests that are not complete yet.

A request keeps the ids of its calls until nothing is left of them, since no topic can name them any more by then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psycopg
from rich.table import Table

from ops.erase.plan import CallState, ErasePlan, ErasureRequest
from ops.erase.read import calls_of_number, read_plan
from ops.erase.show import notes, tables, what_is_left
from ops.erase.subject import Number
from ops.kit.change import Change
from ops.kit.claims import erase_conflicts_of_call, log_number, query, rows_changed
from ops.kit.postgres import database
from ops.kit.progress import ShowProgress
from ops.kit.settings import StateSettings


@dataclass(frozen=True, slots=True)
class Erased:
    """Tells what went now. `erasure_id`: of the request that was noted; `completed`: requests that are done with."""

    claims: int
    conflicts: int
    erasure_id: int | None = None
    completed: Sequence[int] = ()

    @property
    def words(self) -> str:
        return f"{self.claims} claims and {self.conflicts} conflicts erased"


@dataclass(frozen=True, slots=True)
class EraseCalls(Change[ErasePlan, Erased]):
    """Erases what can go of some calls, or of all calls with a number, and notes the request with what it leaves."""

    settings: StateSettings
    progress: ShowProgress
    call_ids: frozenset[str]
    number: Number | None
    operator: str

    async def plan(self) -> ErasePlan:
        if self.number is not None:
            found = await calls_of_number(self.settings, self.number, self.progress)
            return await read_plan(self.settings, str(self.number), found, self.progress, number=self.number)
        ids = self.call_ids
        subject = f"call {next(iter(ids))}" if len(ids) == 1 else f"{len(ids)} calls"
        return await read_plan(self.settings, subject, ids, self.progress)

    def nothing_to_do(self, plan: ErasePlan) -> bool:
        return not plan.known

    async def execute(self, plan: ErasePlan) -> Erased:
        log_name = self.settings.log_name
        async with database(self.settings) as connection, connection.transaction():
            gone, whole = await _delete(connection, plan, log_name, plan.erasable)
            done = whole and not plan.remains
            ((erasure_id,),) = await query(
                connection,
                "note_erasure",
                who=self.operator,
                kind="call" if self.number is None else "number",
                log_name=log_name,
                call_ids=None if done else [call.call_id for call in plan.calls],
                until="infinity" if plan.for_ever else plan.gone_at_the_latest,
                claims=gone.claims,
                conflicts=gone.conflicts,
                complete=done,
            )
        return replace(gone, erasure_id=erasure_id)

    def tables(self, plan: ErasePlan) -> Iterable[Table]:
        return tables(plan)

    def notes(self, plan: ErasePlan) -> Iterable[str]:
        return notes(plan)

    def done(self, plan: ErasePlan, result: Erased) -> str:
        return f"erasure {result.erasure_id}: {result.words}; {what_is_left(plan)}"


@dataclass(frozen=True, slots=True)
class CompleteErasures(Change[ErasePlan, Erased]):
    """Erases what can go by now of the calls of earlier requests, and closes those of which nothing is left."""

    settings: StateSettings
    progress: ShowProgress

    async def plan(self) -> ErasePlan:
        async with database(self.settings) as connection:
            rows = await query(connection, "open_erasures", log_name=self.settings.log_name)
        requests = [ErasureRequest(*row) for row in rows]
        if not requests:
            return ErasePlan("nothing", (), (), {})
        call_ids = frozenset(call_id for request in requests for call_id in request.call_ids)
        subject = "erasures that are not complete"
        return await read_plan(self.settings, subject, call_ids, self.progress, requests=requests)

    def nothing_to_do(self, plan: ErasePlan) -> bool:
        return not plan.requests

    async def execute(self, plan: ErasePlan) -> Erased:
        states = {call.call_id: call for call in plan.calls}
        claims = conflicts = 0
        completed = []
        async with database(self.settings) as connection:
            for request in plan.requests:
                calls = [states[call_id] for call_id in request.call_ids]
                erasable = [call for call in calls if call.rows and call.erasable]
                async with connection.transaction():
                    gone, whole = await _delete(connection, plan, self.settings.log_name, erasable)
                    done = whole and not request.waiting and not any(call.left_afterwards for call in calls)
                    changed = {"claims": gone.claims, "conflicts": gone.conflicts, "complete": done}
                    await rows_changed(connection, "go_on_erasing", erasure_id=request.erasure_id, **changed)
                claims, conflicts = claims + gone.claims, conflicts + gone.conflicts
                completed += [request.erasure_id] if done else []
        return Erased(claims, conflicts, completed=completed)

    def tables(self, plan: ErasePlan) -> Iterable[Table]:
        return tables(plan)

    def notes(self, plan: ErasePlan) -> Iterable[str]:
        yield f"{len(plan.requests)} erasures are not complete"
        if plan.requests:
            yield from notes(plan)

    def done(self, plan: ErasePlan, result: Erased) -> str:
        return f"{result.words}; {len(result.completed)} of {len(plan.requests)} erasures complete"


async def _delete(
    connection: psycopg.AsyncConnection, plan: ErasePlan, log_name: str, calls: Sequence[CallState]
) -> tuple[Erased, bool]:
    """Delete the rows of these calls; what went, and whether that was all: no claim was in use again."""
    log_id = await log_number(connection, log_name)
    claims = [claim for call in calls for claim in call.claims]
    gone = await rows_changed(
        connection,
        "erase_claims",
        log_id=log_id,
        keys=[claim.key for claim in claims],
        records=[claim.records for claim in claims],
        starts=[plan.log_starts[claim.partition] for claim in claims],
    )
    conflicts = sum([await erase_conflicts_of_call(connection, log_id, call.call_id) for call in calls])
    return Erased(gone, conflicts), gone == len(claims)
