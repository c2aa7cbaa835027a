"""Replays and imports from beginning to end: settle what an interrupted run left, plan, send chunk by chunk."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ops.dead_letters.ledger import Entry, Kind
from ops.dead_letters.model import Identity, Letter, LetterId, import_marker, replay_marker, without_markers
from ops.dead_letters.outcome import NoPlace
from ops.dead_letters.plan import Candidate, Outgoing, Plan, Planner, candidate_of, claim_keys, in_order, make_plan
from ops.dead_letters.selection import Selection
from ops.dead_letters.sender import CHUNK_RECORDS, Courier
from ops.dead_letters.session import Desk
from ops.kit.errors import NotFoundError
from ops.kit.progress import Advance

Load = Callable[[Collection[LetterId]], Awaitable[Mapping[LetterId, Letter]]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What an interrupted run had left: already in the raw log, sent now, or forgotten (nothing of it was sent)."""

    found: int = 0
    sent: int = 0
    forgotten: tuple[LetterId, ...] = ()


async def plan_replay(desk: Desk, selection: Selection, *, even_if_still_bad: bool, advance: Advance) -> Plan:
    """What a replay of the selection would do now.

    Raises:
        NotFoundError: an id that was asked for is not in the topic.
    """
    planner = Planner(selection, (await desk.book.entries()).keys(), desk.partition_of)
    async for letter in desk.topic.letters():
        planner.add(letter)
        advance(1)
    if planner.missing_ids:
        missing = ", ".join(str(letter_id) for letter_id in planner.missing_ids)
        raise NotFoundError(f"not in {desk.topic.name}: {missing}; nothing was sent")
    owned = await desk.book.owned(desk.log_name, planner.claim_keys)
    return planner.plan(owned, even_if_still_bad=even_if_still_bad)


async def plan_import(desk: Desk, letters: Sequence[Letter], *, even_if_still_bad: bool, advance: Advance) -> Plan:
    """What an import of these repaired letters would do now."""
    entries = await desk.book.entries()
    replayed: set[Identity] = set()
    async for letter in desk.topic.letters():
        if letter.letter_id in entries:
            replayed.add(letter.identity)
        advance(1)
    fresh: dict[Identity, Letter] = {}
    already = 0
    for letter in letters:
        if letter.letter_id in entries or letter.identity in replayed:
            already += 1
        else:
            fresh.setdefault(letter.identity, letter)
    candidates = [candidate_of(letter, letter.letter_id, desk.partition_of) for letter in fresh.values()]
    return make_plan(
        candidates,
        await desk.book.owned(desk.log_name, claim_keys(candidates)),
        even_if_still_bad=even_if_still_bad,
        replayed_already=already,
        again=len(letters) - already - len(fresh),
    )


async def settle(desk: Desk, courier: Courier, repaired: Mapping[LetterId, Letter]) -> Settled:
    """Finish what an interrupted run has begun.

    An import is finished only by an import of the same letter (`repaired`): nobody else has its content.
    """
    unsettled = [entry for entry in (await desk.book.entries()).values() if entry.raw_offset is None]
    if not unsettled:
        return Settled()
    looked = await courier.settle(unsettled)
    missing = {entry.letter_id: entry for entry in looked.missing}
    replays = [letter_id for letter_id, entry in missing.items() if entry.kind is Kind.REPLAY]
    letters = dict(await desk.topic.by_id(replays))
    letters |= {letter_id: repaired[letter_id] for letter_id in missing if letter_id in repaired.keys() - set(replays)}
    records = _begun(desk, letters, missing)
    forgotten = tuple(sorted(missing.keys() - {record.letter_id for record in records}))
    await desk.book.release(forgotten)
    await courier.send_begun(records)
    return Settled(len(looked.found), len(records), forgotten)


async def send(
    desk: Desk, courier: Courier, plan: Plan, *, kind: Kind, load: Load, stopped: Callable[[], bool], advance: Advance
) -> int:
    """Send the plan, chunk by chunk, until `stopped`; how many were sent. `load` gives the letters by id."""
    sent = 0
    for start in range(0, len(plan.to_send), CHUNK_RECORDS):
        if stopped():
            break
        chunk = plan.to_send[start : start + CHUNK_RECORDS]
        letters = await load({candidate.letter_id for candidate in chunk})
        # Retention may have removed one since the plan was made.
        present = [candidate for candidate in chunk if candidate.letter_id in letters]
        made = [outgoing(desk, candidate, letters[candidate.letter_id], kind) for candidate in present]
        sent += await courier.send([record for record in made if record is not None], kind)
        advance(len(chunk))
    return sent


def outgoing(desk: Desk, candidate: Candidate, letter: Letter, kind: Kind) -> Outgoing | None:
    """The record that sends a letter back; None if it has no place in the raw log."""
    if isinstance(candidate.fate, NoPlace) or candidate.raw_partition is None:
        return None
    letter_id = candidate.letter_id
    marker = import_marker(letter_id) if kind is Kind.IMPORT else replay_marker(desk.topic.name, letter_id)
    headers = [*without_markers(letter.headers), marker]
    return Outgoing(letter_id, candidate.raw_partition, candidate.fate.key, letter.value, headers)


def _begun(desk: Desk, letters: Mapping[LetterId, Letter], missing: Mapping[LetterId, Entry]) -> list[Outgoing]:
    """The records of rows that were begun and never sent, in sending order.

    One that would go elsewhere by now (its key was repaired once more) is begun anew instead: a row says where to look.
    """
    candidates = [candidate_of(letter, letter_id, desk.partition_of) for letter_id, letter in letters.items()]
    made = (
        outgoing(desk, candidate, letters[candidate.letter_id], missing[candidate.letter_id].kind)
        for candidate in in_order(candidates)
    )
    records = [record for record in made if record is not None]
    return [record for record in records if record.partition == missing[record.letter_id].raw_partition]
