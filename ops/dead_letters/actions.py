"""The dead-letter commands without their options and their printing."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ops.dead_letters.describe import described
from ops.dead_letters.groups import Group, Groups
from ops.dead_letters.ledger import Kind
from ops.dead_letters.model import Identity, Letter, LetterId
from ops.dead_letters.outcome import WouldBeEvent, fate_of
from ops.dead_letters.plan import Plan
from ops.dead_letters.raw import raw_topic
from ops.dead_letters.replay import Settled, plan_import, plan_replay, send, settle
from ops.dead_letters.report import letter_json
from ops.dead_letters.selection import Selection
from ops.dead_letters.sender import Courier
from ops.dead_letters.session import Desk, DeskSettings, open_desk
from ops.kit.errors import NotFoundError, OpsError
from ops.kit.live import stopped
from ops.kit.progress import Advance, shown_progress


@dataclass(frozen=True, slots=True)
class Done:
    """What a replay or import did; `stopped` when an operator ended it before all was sent."""

    plan: Plan
    settled: Settled | None = None
    sent: int | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants sent: a selection of the topic, or repaired letters."""

    selection: Selection | None = None
    repaired: Sequence[Letter] = ()
    even_if_still_bad: bool = False


async def grouped(settings: DeskSettings, selection: Selection) -> tuple[list[Group], set[Identity]]:
    """The selected letters by stage and code, and everything that was replayed."""
    groups = Groups()
    replayed: set[Identity] = set()
    async with open_desk(settings) as desk:
        entries = await desk.book.entries()
        with shown_progress("reading dead letters") as advance:
            async for letter in desk.topic.letters():
                advance(1)
                if letter.letter_id in entries:
                    replayed.add(letter.identity)
                if selection.matches(letter):
                    groups.add(letter)
    return groups.by_size(), replayed


async def each(settings: DeskSettings, selection: Selection) -> list[dict[str, object]]:
    """The selected letters one by one, oldest first; a letter counts as replayed when another of its passes was."""
    letters: list[tuple[int, Identity, dict[str, object]]] = []
    replayed: set[Identity] = set()
    async with open_desk(settings) as desk:
        entries = await desk.book.entries()
        with shown_progress("reading dead letters") as advance:
            async for letter in desk.topic.letters():
                advance(1)
                if letter.letter_id in entries:
                    replayed.add(letter.identity)
                if selection.matches(letter):
                    letters.append((letter.timestamp_ms, letter.identity, letter_json(letter, replayed=False)))
    letters.sort(key=lambda found: found[0])
    return [found | {"replayed": identity in replayed} for _, identity, found in letters]


async def show(settings: DeskSettings, letter_id: LetterId, *, reveal: bool) -> dict[str, object]:
    """Everything of one dead letter."""
    async with open_desk(settings) as desk:
        letter = await desk.topic.one(letter_id)
        # The passes of one raw record stand in one partition, unless the topic has grown between them.
        passes = [other.letter_id async for other in desk.topic.letters() if other.identity == letter.identity]
        entries = await desk.book.entries()
        fate = fate_of(letter)
        keys = [fate.claim_key] if isinstance(fate, WouldBeEvent) else []
        owned = bool(await desk.book.owned(desk.log_name, keys))
    return described(
        letter,
        fate=fate,
        owned=owned,
        others=[other for other in passes if other != letter_id],
        entry=next((entries[other] for other in passes if other in entries), None),
        reveal=reveal,
    )


async def export(settings: DeskSettings, selection: Selection, write: Callable[[Letter], None]) -> int:
    """Hand each selected letter to `write`, the first of each raw record; how many there were.

    Raises:
        NotFoundError: an id that was asked for is not there; the others are written.
    """
    written: set[Identity] = set()
    left = set(selection.ids)
    async with open_desk(settings) as desk:
        for partition in range(desk.topic.partitions):  # one after another, so that exports can be compared
            async for letter in desk.topic.letters(partition=partition):
                if not selection.matches(letter):
                    continue
                left.discard(letter.letter_id)
                if letter.identity not in written:
                    written.add(letter.identity)
                    write(letter)
        if left:
            missing = ", ".join(str(letter_id) for letter_id in sorted(left))
            raise NotFoundError(f"not in {desk.topic.name}: {missing}")
    return len(written)


async def planned(settings: DeskSettings, order: Order) -> Done:
    """What the order would do; touches nothing."""
    async with open_desk(settings) as desk:
        with shown_progress("reading dead letters") as advance:
            return Done(await _plan(desk, order, advance))


async def executed(settings: DeskSettings, order: Order, told: Callable[[Plan, Settled], None]) -> Done:
    """Carry the order out; SIGINT and SIGTERM end it after the chunk at hand. `told` hears the plan before it starts.

    Raises:
        UnsafeError: another tool is sending.
    """
    stop = stopped()
    repaired = {letter.letter_id: letter for letter in order.repaired}
    kind = Kind.REPLAY if order.selection is not None else Kind.IMPORT

    async def load(letter_ids: Collection[LetterId]) -> Mapping[LetterId, Letter]:
        return await desk.topic.by_id(letter_ids) if kind is Kind.REPLAY else repaired

    async with open_desk(settings) as desk, raw_topic(settings, desk.names.raw) as raw:
        await desk.book.lock()
        courier = Courier(desk.book, raw, desk.topic.name)
        settled = await settle(desk, courier, repaired)
        with shown_progress("reading dead letters") as advance:
            plan = await _plan(desk, order, _unless(stop, advance))
        told(plan, settled)
        with shown_progress("sending", len(plan.to_send)) as advance:
            sent = await send(desk, courier, plan, kind=kind, load=load, stopped=stop.is_set, advance=advance)
    return Done(plan, settled, sent, stopped=stop.is_set() and sent < len(plan.to_send))


def _unless(stop: asyncio.Event, advance: Advance) -> Advance:
    """Nothing has been sent while the plan is made, so a stop can simply end it."""

    def checked(count: int, /, *, total: int | None = None) -> None:
        if stop.is_set():
            raise OpsError("stopped before anything was sent")
        advance(count, total=total)

    return checked


async def _plan(desk: Desk, order: Order, advance: Advance) -> Plan:
    if order.selection is not None:
        return await plan_replay(desk, order.selection, even_if_still_bad=order.even_if_still_bad, advance=advance)
    return await plan_import(desk, order.repaired, even_if_still_bad=order.even_if_still_bad, advance=advance)
