"""Sends dead letters back to the raw topic: settle what an interrupted run left, plan, send chunk by chunk."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from ops.dead_letters.ledger import LedgerEntry
from ops.dead_letters.model import Letter, LetterId, Selection
from ops.dead_letters.plan import (
    Candidate,
    DeadLetterPlan,
    Planner,
    ReplayKind,
    ReplayRecord,
    candidate_of,
    claim_keys,
    in_order,
    record_of,
)
from ops.dead_letters.read import READING, DeadLetterSession
from ops.dead_letters.sender import CHUNK_RECORDS, ReplaySender, replay_sender
from ops.dead_letters.show import plan_notes, plan_table, refusals
from ops.kit.change import Change
from ops.kit.errors import NotFoundError, OpsError
from ops.kit.live import stopped
from ops.kit.progress import Advance, ShowProgress


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """Counts what an interrupted run had left: in the raw log already, sent now, or forgotten as never sent."""

    found: int = 0
    sent: int = 0
    forgotten: tuple[LetterId, ...] = ()


@dataclass(frozen=True, slots=True)
class SentLetters:
    """Tells what a replay or import did; `stopped` when an operator ended it before all was sent."""

    sent: int
    stopped: bool
    settled: InterruptedRun


class SendLetters(Change[DeadLetterPlan, SentLetters]):
    """Sends dead letters back: those of the topic that are selected, or `repaired` ones.

    SIGINT and SIGTERM end it after the chunk at hand.
    """

    def __init__(
        self,
        session: DeadLetterSession,
        progress: ShowProgress,
        say: Callable[[str], None],
        selection: Selection,
        repaired: Sequence[Letter] = (),
        *,
        even_if_still_bad: bool = False,
    ) -> None:
        self._session, self._progress, self._say = session, progress, say
        self._selection = selection
        self._repaired = repaired
        self._by_id = {letter.id: letter for letter in reversed(repaired)}  # of two lines the first, as planned
        self._kind = ReplayKind.IMPORT if repaired else ReplayKind.REPLAY
        self._even_if_still_bad = even_if_still_bad
        self._stop = asyncio.Event()
        self._settled = InterruptedRun()
        self._sender: ReplaySender

    async def settle(self) -> None:
        """Finish what an interrupted run has begun, as the only one who sends.

        An import is finished only by an import of the same letter: nobody else has its content.

        Raises:
            UnsafeError: another tool is sending.
        """
        session = self._session
        self._stop = stopped()
        self._sender = await session.closing.enter_async_context(replay_sender(session.settings, session.ledger))
        unsettled = [entry for entry in (await session.ledger.entries()).values() if entry.raw_offset is None]
        if not unsettled:
            return
        missing = await self._sender.settle(unsettled)
        replays = {letter_id for letter_id, entry in missing.items() if entry.kind is ReplayKind.REPLAY}
        letters = await session.by_id(replays)
        letters |= {found: self._by_id[found] for found in missing if found in self._by_id.keys() - replays}
        records = begun(session, letters, missing)
        forgotten = tuple(sorted(missing.keys() - {record.letter_id for record in records}))
        await session.ledger.release(forgotten)
        await self._sender.send_begun(records)
        self._settled = InterruptedRun(len(unsettled) - len(missing), len(records), forgotten)
        for line in _told(self._settled):
            self._say(line)

    async def plan(self) -> DeadLetterPlan:
        """Read every dead letter: the selected ones, and which were replayed.

        Raises:
            NotFoundError: an id that was asked for is not in the topic.
            OpsError: it was stopped.
        """
        session, imports = self._session, self._kind is ReplayKind.IMPORT
        planner = Planner(self._selection, session.partition_of)
        entries = await session.ledger.entries()
        with self._progress(READING) as advance:
            take = (lambda _letter: None) if imports else planner.add
            replayed = await session.scan(entries, take, self._unless_stopped(advance))
        for letter in self._repaired:
            planner.add(letter)
            if letter.id in entries:
                replayed.add(letter.identity)
        if planner.missing_ids:
            missing = ", ".join(map(str, planner.missing_ids))
            raise NotFoundError(f"not in {session.topic}: {missing}; nothing was sent")
        owned = await session.ledger.owned(session.settings.log_name, claim_keys(planner.candidates(replayed)))
        return planner.plan(replayed, owned, even_if_still_bad=self._even_if_still_bad)

    async def execute(self, plan: DeadLetterPlan) -> SentLetters:
        sent = 0
        try:
            with self._progress("sending", plan.to_send) as advance:
                for start in range(0, plan.to_send, CHUNK_RECORDS):
                    if self._stop.is_set():
                        break
                    chunk = plan.sending[start : start + CHUNK_RECORDS]
                    sent += await self._sender.send(await self._records(chunk), self._kind)
                    advance(len(chunk))
        except Exception:
            self._say("not all was sent; run it again to go on, nothing is sent twice")
            raise
        return SentLetters(sent, self._stop.is_set() and sent < plan.to_send, self._settled)

    def tables(self, plan: DeadLetterPlan) -> Iterable[Table]:
        yield plan_table(plan)

    def notes(self, plan: DeadLetterPlan) -> Iterable[str]:
        yield from plan_notes(plan)
        if self._repaired:
            yield from refusals(plan)

    def done(self, plan: DeadLetterPlan, result: SentLetters) -> str:
        return f"sent: {result.sent} of {plan.to_send}"

    async def _records(self, chunk: Sequence[Candidate]) -> list[ReplayRecord]:
        """Make the records of a chunk; retention may have removed a letter since the plan was made."""
        letters = self._by_id or await self._session.by_id({candidate.letter_id for candidate in chunk})
        present = [candidate for candidate in chunk if candidate.letter_id in letters]
        topic = self._session.topic
        made = [record_of(candidate, letters[candidate.letter_id], self._kind, topic) for candidate in present]
        return [record for record in made if record is not None]

    def _unless_stopped(self, advance: Advance) -> Advance:
        """Nothing has been sent while the plan is made, so a stop can simply end it."""

        def checked(count: int, /, *, total: int | None = None) -> None:
            if self._stop.is_set():
                raise OpsError("stopped before anything was sent")
            advance(count, total=total)

        return checked


def begun(
    session: DeadLetterSession, letters: Mapping[LetterId, Letter], missing: Mapping[LetterId, LedgerEntry]
) -> list[ReplayRecord]:
    """Make the records of rows that were begun and never sent, in sending order.

    One that would go elsewhere by now (its key was repaired once more) is begun anew instead: a row says where to look.
    """
    candidates = [candidate_of(letter, letter_id, session.partition_of) for letter_id, letter in letters.items()]
    made = (
        record_of(found, letters[found.letter_id], missing[found.letter_id].kind, session.topic)
        for found in in_order(candidates)
    )
    return [found for found in made if found is not None and found.partition == missing[found.letter_id].raw_partition]


def _told(settled: InterruptedRun) -> Iterator[str]:
    if settled.found or settled.sent:
        yield f"of an interrupted run: {settled.found} were in the raw log, {settled.sent} sent now"
    if settled.forgotten:
        yield f"of an interrupted run: {len(settled.forgotten)} were begun and never sent, and are free again"
