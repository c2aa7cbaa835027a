"""Rewinds as a change: plans it, carries it out, and watches the processors pass the old offsets again."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ops.diff.model import DiffResult
from ops.diff.run import diff
from ops.kit.change import Change
from ops.kit.errors import OpsError, UnsafeError, UsageError
from ops.kit.live import stopped, ticks
from ops.kit.output import json_bytes
from ops.kit.pause import Say
from ops.kit.progress import Advance
from ops.rewind import audit
from ops.rewind.execute import Execution, RewindRequest, Rewound
from ops.rewind.offsets import commit_plainly, committed
from ops.rewind.plan import PartitionMove, RewindPlan, refuse_changed, refuse_skipping, refuse_unkept
from ops.rewind.read import RewindSession, again_of, read_moves, read_plan, rewind_session
from ops.rewind.show import notes, plan_table
from ops.rewind.target import RewindScope, Target
from processors.settings import ProcessorSettings

POLL_SECONDS = 0.5


class MoveOffsets(Change[RewindPlan, Rewound]):
    """Moves a group's committed offsets; the first plan is written to the file `plan_out`, too."""

    def __init__(
        self, session: RewindSession, request: RewindRequest, say: Say, *, plan_out: Path | None = None
    ) -> None:
        self._session, self._request, self._say, self._plan_out = session, request, say, plan_out

    async def plan(self) -> RewindPlan:
        plan = await read_plan(self._session, self._request.target)
        file, self._plan_out = self._plan_out, None
        if file is not None:
            try:
                file.write_bytes(json_bytes(plan, indented=True) + b"\n")
            except OSError as error:
                raise OpsError(f"cannot write {file}: {error.strerror}") from error
        return plan

    def refuse(self, plan: RewindPlan) -> None:
        if self._session.scope.ours and not self._request.skip_unprocessed:
            refuse_skipping(plan)

    def nothing_to_do(self, plan: RewindPlan) -> bool:
        return not plan.targets

    async def execute(self, plan: RewindPlan) -> Rewound:
        refuse_unkept(self._request.target, plan)
        if self._session.scope.ours:
            return await Execution(self._session, plan, self._request, self._say).run()
        return await self._downstream(plan)

    async def _downstream(self, plan: RewindPlan) -> Rewound:
        """Move the offsets of a group downstream by a plain commit; its consumers must have been stopped.

        Raises:
            UnsafeError: somebody is in the group.
            StaleError: a target is another one by now.
        """
        found, state = await self._session.group.state(), self._session.state
        if not found.empty:
            raise UnsafeError(
                f"group {plan.group} is active ({found.state}): {found.names}; stop its consumers, then try again"
            )
        refuse_changed(plan.partitions, await read_moves(self._session, self._request.target))
        rewind_id = None if state is None else await audit.begin(state, plan)
        await commit_plainly(self._session.scope, plan.targets)
        if state is not None and rewind_id is not None:
            await audit.moved(state, rewind_id)
        return Rewound(rewind_id, plan.partitions)

    def tables(self, plan: RewindPlan) -> Iterable[Table]:
        return [plan_table(plan)]

    def notes(self, plan: RewindPlan) -> Iterable[str]:
        return notes(plan)

    def done(self, plan: RewindPlan, result: Rewound) -> str:
        number = "" if result.rewind_id is None else f"; this is rewind {result.rewind_id}"
        return f"offsets moved: {result.records:,} records will be read again{number}"


@dataclass(frozen=True, slots=True)
class Passed:
    """Tells how far the pass is; `seconds` since it began."""

    records: int
    of: int
    seconds: float

    @property
    def done(self) -> bool:
        """Whether every old offset has been passed."""
        return self.records >= self.of

    @property
    def rate(self) -> float:
        """Records a second so far."""
        return self.records / self.seconds if self.seconds > 0 else 0.0


def passed(moves: Sequence[PartitionMove], now: Mapping[int, int | None], seconds: float) -> Passed:
    """Compute how much of what is repeated has been processed again, by the committed offsets of now. Pure."""
    again = again_of(moves)
    done = (min(max(0, (now.get(number) or 0) - wanted.start), len(wanted)) for number, wanted in again.items())
    return Passed(sum(done), sum(map(len, again.values())), seconds)


async def follow(session: RewindSession, moves: Sequence[PartitionMove], advance: Advance) -> Passed:
    """Look until everything is passed again, or until Ctrl-C (SIGINT, SIGTERM), which leaves the processors at it."""
    stop, began, standing = stopped(), time.monotonic(), passed(moves, {}, 0.0)
    async for _ in ticks(stop, POLL_SECONDS):
        now = await committed(session.scope, session.group, session.partitions, fenced=False)
        known, standing = standing.records, passed(moves, now, time.monotonic() - began)
        advance(standing.records - known, total=standing.of)
        if standing.done:
            break
    return standing


async def compare(
    settings: ProcessorSettings, scope: RewindScope, target: Target, *, examples: int, advance: Advance
) -> DiffResult:
    """Compare what this version's code would emit in the pass that a rewind begins with what the topics hold.

    Raises:
        UsageError: these are not the processors' offsets.
        OpsError: a server is away or refuses.
    """
    if not scope.ours:
        raise UsageError("--diff is about what the processors emit; leave out --group and --topic of others")
    async with rewind_session(scope) as session:
        again = again_of(await read_moves(session, target))
    return await diff(settings, again, examples=examples, advance=advance)
