"""What a replay sends, in which order, and what it says beforehand."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

import orjson
import pytest

from ops.dead_letters.ledger import LedgerEntry
from ops.dead_letters.model import Letter, LetterId, Selection
from ops.dead_letters.outcome import NoPlace
from ops.dead_letters.plan import DeadLetterPlan, candidate_of, in_order
from ops.dead_letters.read import DeadLetterSession
from ops.dead_letters.run import InterruptedRun, SendLetters, SentLetters, begun
from ops.dead_letters.show import plan_notes, refusals
from ops.kit.change import carry_out
from ops.kit.dead_letter import StatedReason
from ops.kit.errors import NotFoundError
from ops.kit.output import OutputFormat, json_bytes
from ops.kit.progress import Advance, unseen
from schemas.dead_letter import Origin
from schemas.identity import ClaimKey
from tests.support.kafka import Webhook
from tests.support.traffic import ended, started

EVERYTHING = Selection()


def letter(at: LetterId, webhook: Webhook, *, offset: int | None, code: str = "old", time: int = 0) -> Letter:
    return Letter(
        id=at,
        timestamp_ms=time,
        reason=StatedReason("accept" if offset is None else "normalize", code, ""),
        origin=None if offset is None else Origin("raw", at.partition, offset, "g"),
        key=None if offset is None else webhook.key.encode(),
        headers=[("endpoint", webhook.slug.encode())],
        value=webhook.body,
    )


def partition_of(key: bytes) -> int:
    return len(key) - 1


@dataclass
class FakeSession:
    """A topic of these letters, and a ledger and a state table beside it."""

    found: Collection[Letter]
    sent: Collection[LetterId] = ()
    claimed: frozenset[ClaimKey] = frozenset()
    topic: str = "dead"
    ledger: "FakeSession" = field(init=False)
    settings: "FakeSession" = field(init=False)
    log_name: str = "raw@1"

    def __post_init__(self) -> None:
        self.ledger = self.settings = self

    def partition_of(self, key: bytes) -> int:
        return len(key) - 1

    async def letters(self) -> AsyncIterator[Letter]:
        for letter in self.found:
            yield letter

    scan = DeadLetterSession.scan

    async def entries(self) -> Collection[LetterId]:
        return self.sent

    async def owned(self, _log_name: str, keys: Collection[ClaimKey]) -> set[ClaimKey]:
        return set(keys) & self.claimed


@contextmanager
def no_progress(*_: object) -> Iterator[Advance]:
    yield unseen


def change(
    session: FakeSession, *, selection: Selection = EVERYTHING, repaired: tuple[Letter, ...] = (), even: bool = False
) -> SendLetters:
    made = cast("DeadLetterSession", session)
    return SendLetters(made, no_progress, lambda _: None, selection, repaired, even_if_still_bad=even)


def plan(
    *letters: Letter,
    selection: Selection = EVERYTHING,
    sent: frozenset[LetterId] = frozenset(),
    owned: frozenset[ClaimKey] = frozenset(),
    repaired: tuple[Letter, ...] = (),
    even: bool = False,
) -> DeadLetterPlan:
    session = FakeSession(letters, sent, owned)
    return asyncio.run(change(session, selection=selection, repaired=repaired, even=even).plan())


def ids(found: DeadLetterPlan) -> list[str]:
    return [str(candidate.letter_id) for candidate in found.sending]


GOOD = letter(LetterId(0, 1), started("a"), offset=10)
BAD = letter(LetterId(0, 2), Webhook("call-started", "a", b"{"), offset=11)
ASIDE = letter(LetterId(1, 5), Webhook("call-started", "-", b"{"), offset=None)


def test_what_would_be_a_dead_letter_again_is_left_out_unless_asked_for() -> None:
    assert ids(plan(GOOD, BAD, ASIDE)) == ["0:1"]
    assert plan(GOOD, BAD, ASIDE).left_out == 2
    assert ids(plan(GOOD, BAD, ASIDE, even=True)) == ["0:1", "0:2"]  # without a key there is no place


def test_of_the_passes_of_one_raw_record_the_first_is_sent() -> None:
    again = replace(GOOD, id=LetterId(0, 9))

    found = plan(GOOD, again)

    assert (ids(found), found.passes_of_the_same_record) == (["0:1"], 1)
    assert ids(plan(GOOD, again, selection=Selection(ids=frozenset({LetterId(0, 9)})))) == ["0:1"]


@pytest.mark.parametrize("sent", [LetterId(0, 1), LetterId(0, 9)])
def test_a_replay_of_any_pass_settles_all(sent: LetterId) -> None:
    found = plan(GOOD, replace(GOOD, id=LetterId(0, 9)), sent=frozenset({sent}))

    assert (found.sending, found.replayed_already) == ((), 1)


def test_only_what_is_selected_is_judged_and_counted() -> None:
    found = plan(GOOD, BAD, selection=Selection(codes=frozenset({"other"})))

    assert (found.sending, found.refused, found.outcomes, found.passes_of_the_same_record) == ((), (), (), 0)


def test_a_key_that_is_owned_or_comes_twice_makes_duplicates() -> None:
    twice = letter(LetterId(0, 3), started("a"), offset=12)
    owned = letter(LetterId(0, 4), ended("a"), offset=13)

    found = plan(GOOD, twice, owned, owned=frozenset({ClaimKey("ringover:call.ended:a")}))

    assert [(outcome.becomes, outcome.count) for outcome in found.outcomes] == [("duplicate", 2), ("event", 1)]
    assert found.to_send == 3


def test_ids_that_are_not_there_are_named() -> None:
    wanted = frozenset({LetterId(0, 1), LetterId(7, 7)})

    with pytest.raises(NotFoundError, match="not in dead: 7:7; nothing was sent"):
        plan(GOOD, selection=Selection(ids=wanted))


def test_a_repaired_letter_is_imported_unless_any_pass_was_replayed() -> None:
    repaired = replace(BAD, value=started("a").body)
    again = replace(repaired, id=LetterId(0, 9))

    assert ids(plan(GOOD, BAD, repaired=(repaired,))) == ["0:2"]
    found = plan(GOOD, BAD, again, repaired=(repaired, again))
    assert (ids(found), found.passes_of_the_same_record) == (["0:2"], 1)
    for sent in (LetterId(0, 2), LetterId(0, 9)):
        assert plan(GOOD, BAD, again, repaired=(repaired,), sent=frozenset({sent})).replayed_already == 1
    removed = plan(
        GOOD, repaired=(repaired,), sent=frozenset({LetterId(0, 2)})
    )  # by retention, but not from the ledger
    assert (removed.sending, removed.replayed_already) == ((), 1)


def test_the_order_is_the_raw_logs_and_bodies_put_aside_come_in_by_time() -> None:
    letters = [
        letter(LetterId(1, 9), started("bb"), offset=7, time=700),
        letter(LetterId(2, 0), started("bb"), offset=None, time=650),
        letter(LetterId(1, 2), ended("bb"), offset=6, time=600),
        letter(LetterId(0, 4), started("a"), offset=900, time=9),
        letter(LetterId(0, 5), Webhook("call-started", "a", b"{"), offset=None, time=1),
    ]

    found = [candidate_of(one, one.id, partition_of) for one in letters]

    assert [str(one.letter_id) for one in in_order(found)] == ["0:5", "0:4", "1:2", "2:0", "1:9"]
    assert [one.raw_partition for one in in_order(found)] == [None, 0, 1, 1, 1]


def test_offsets_outweigh_a_broker_clock_that_went_back() -> None:
    letters = [letter(LetterId(0, at), started("a"), offset=at, time=100 - at) for at in range(3)]

    found = [candidate_of(one, one.id, partition_of) for one in reversed(letters)]

    assert [one.raw_offset for one in in_order(found)] == [0, 1, 2]


def test_a_plan_is_told_in_sentences_and_as_json() -> None:
    found = plan(GOOD, replace(GOOD, id=LetterId(0, 9)), BAD, ASIDE)

    said = " ".join(plan_notes(found))
    assert "to send: 1" in said
    assert "1 would be dead letters again" in said
    assert "1 have no usable call id" in said
    assert "on a later pass: 1" in said
    written = orjson.loads(json_bytes(found))
    counts = {"to_send": 1, "left_out": 2, "replayed_already": 0, "passes_of_the_same_record": 1}
    assert {name: written[name] for name in counts} == counts
    assert written.keys() == {"outcomes", *counts}
    assert written["outcomes"][2] == {"stage": "normalize", "code": "old", "becomes": "event", "sent": True, "count": 1}
    assert [line.split(": ")[1:3] for line in refusals(found)] == [["1:5", "not_json"], ["0:2", "not_json"]]
    assert isinstance(found.refused[0].outcome, NoPlace)


def test_a_plan_that_is_not_carried_out_is_the_json_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(carry_out(change(FakeSession([GOOD]), repaired=(BAD,)), execute=False, output=OutputFormat.JSON))

    out, err = capfd.readouterr()
    written = orjson.loads(out)
    assert (written["executed"], written["result"], written["plan"]["left_out"]) == (False, None, 1)
    assert "refused: 0:2: not_json" in err


def test_what_was_sent_and_settled_is_told_as_json() -> None:
    result = SentLetters(sent=3, stopped=True, settled=InterruptedRun(1, 2, (LetterId(0, 5),)))

    assert orjson.loads(json_bytes(result)) == {
        "sent": 3,
        "stopped": True,
        "settled": {"found": 1, "sent": 2, "forgotten": ["0:5"]},
    }


@pytest.mark.parametrize(("raw_partition", "records"), [(0, 1), (2, 0)])
def test_what_was_begun_goes_on_only_where_its_row_says(raw_partition: int, records: int) -> None:
    """A repaired key may lead elsewhere than the one of an interrupted import: the row would then hide its record."""
    entry = LedgerEntry(GOOD.id, raw_partition, 0, None, "me@here import", datetime(2026, 1, 2, tzinfo=UTC), 60.0)
    session = cast("DeadLetterSession", FakeSession([]))

    found = begun(session, {GOOD.id: GOOD}, {GOOD.id: entry})

    assert [record.headers[-1] for record in found] == [("imported-from", b"0:1")] * records
