"""What a replay sends, in which order, and what it says beforehand."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from ops.dead_letters.ledger import Entry
from ops.dead_letters.model import Letter, LetterId, Origin, Why
from ops.dead_letters.outcome import NoPlace
from ops.dead_letters.plan import Plan, Planner, candidate_of, in_order
from ops.dead_letters.replay import _begun
from ops.dead_letters.report import plan_json, plan_prose, refusals
from ops.dead_letters.selection import Selection
from ops.dead_letters.session import Desk
from schemas.identity import ClaimKey
from tests.support.kafka import Webhook
from tests.support.traffic import ended, started

EVERYTHING = Selection()


def letter(at: LetterId, webhook: Webhook, *, offset: int | None, code: str = "old", time: int = 0) -> Letter:
    return Letter(
        letter_id=at,
        timestamp_ms=time,
        key=None if offset is None else webhook.key.encode(),
        value=webhook.body,
        headers=[("endpoint", webhook.slug.encode())],
        why=Why("accept" if offset is None else "normalize", code, ""),
        origin=None if offset is None else Origin("raw", at.partition, offset, "g"),
    )


def partition_of(key: bytes) -> int:
    return len(key) - 1


def plan(
    *letters: Letter,
    selection: Selection = EVERYTHING,
    sent: frozenset[LetterId] = frozenset(),
    owned: frozenset[ClaimKey] = frozenset(),
    even: bool = False,
) -> Plan:
    planner = Planner(selection, sent, partition_of)
    for found in letters:
        planner.add(found)
    return planner.plan(owned, even_if_still_bad=even)


def ids(found: Plan) -> list[str]:
    return [str(candidate.letter_id) for candidate in found.to_send]


GOOD = letter(LetterId(0, 1), started("a"), offset=10)
BAD = letter(LetterId(0, 2), Webhook("call-started", "a", b"{"), offset=11)
ASIDE = letter(LetterId(1, 5), Webhook("call-started", "-", b"{"), offset=None)


def test_what_would_be_a_dead_letter_again_is_left_out_unless_asked_for() -> None:
    assert ids(plan(GOOD, BAD, ASIDE)) == ["0:1"]
    assert len(plan(GOOD, BAD, ASIDE).left_out) == 2
    assert ids(plan(GOOD, BAD, ASIDE, even=True)) == ["0:1", "0:2"]  # without a key there is no place


def test_of_the_passes_of_one_raw_record_the_first_is_sent() -> None:
    again = replace(GOOD, letter_id=LetterId(0, 9))

    found = plan(GOOD, again)

    assert (ids(found), found.again) == (["0:1"], 1)
    assert ids(plan(GOOD, again, selection=Selection(ids=frozenset({LetterId(0, 9)})))) == ["0:1"]


@pytest.mark.parametrize("sent", [LetterId(0, 1), LetterId(0, 9)])
def test_a_replay_of_any_pass_settles_all(sent: LetterId) -> None:
    found = plan(GOOD, replace(GOOD, letter_id=LetterId(0, 9)), sent=frozenset({sent}))

    assert (found.to_send, found.replayed_already) == ((), 1)


def test_only_what_is_selected_is_judged_and_counted() -> None:
    found = plan(GOOD, BAD, selection=Selection(codes=frozenset({"other"})))

    assert (found.to_send, found.left_out, found.outlooks, found.again) == ((), (), (), 0)


def test_a_key_that_is_owned_or_comes_twice_makes_duplicates() -> None:
    twice = letter(LetterId(0, 3), started("a"), offset=12)
    owned = letter(LetterId(0, 4), ended("a"), offset=13)

    found = plan(GOOD, twice, owned, owned=frozenset({ClaimKey("ringover:call.ended:a")}))

    assert [(outlook.becomes, outlook.count) for outlook in found.outlooks] == [("duplicate", 2), ("event", 1)]
    assert len(found.to_send) == 3


def test_ids_that_are_not_there_are_named() -> None:
    wanted = frozenset({LetterId(0, 1), LetterId(7, 7)})
    planner = Planner(Selection(ids=wanted), frozenset(), partition_of)
    planner.add(GOOD)

    assert planner.missing_ids == [LetterId(7, 7)]


def test_the_order_is_the_raw_logs_and_bodies_put_aside_come_in_by_time() -> None:
    letters = [
        letter(LetterId(1, 9), started("bb"), offset=7, time=700),
        letter(LetterId(2, 0), started("bb"), offset=None, time=650),
        letter(LetterId(1, 2), ended("bb"), offset=6, time=600),
        letter(LetterId(0, 4), started("a"), offset=900, time=9),
        letter(LetterId(0, 5), Webhook("call-started", "a", b"{"), offset=None, time=1),
    ]

    found = [candidate_of(one, one.letter_id, partition_of) for one in letters]

    assert [str(one.letter_id) for one in in_order(found)] == ["0:5", "0:4", "1:2", "2:0", "1:9"]
    assert [one.raw_partition for one in in_order(found)] == [None, 0, 1, 1, 1]


def test_offsets_outweigh_a_broker_clock_that_went_back() -> None:
    letters = [letter(LetterId(0, at), started("a"), offset=at, time=100 - at) for at in range(3)]

    found = [candidate_of(one, one.letter_id, partition_of) for one in reversed(letters)]

    assert [one.raw_offset for one in in_order(found)] == [0, 1, 2]


def test_a_plan_is_told_in_sentences_and_as_json() -> None:
    found = plan(GOOD, replace(GOOD, letter_id=LetterId(0, 9)), BAD, ASIDE)

    said = " ".join(plan_prose(found))
    assert "to send: 1" in said
    assert "1 would be dead letters again" in said
    assert "1 have no usable call id" in said
    assert "on a later pass: 1" in said
    assert plan_json(found, settled=None, sent=None)["left_out"] == 2
    assert [line.split(": ")[:2] for line in refusals(found)] == [["1:5", "not_json"], ["0:2", "not_json"]]
    assert isinstance(found.left_out[0].fate, NoPlace)


@pytest.mark.parametrize(("raw_partition", "records"), [(0, 1), (2, 0)])
def test_what_was_begun_goes_on_only_where_its_row_says(raw_partition: int, records: int) -> None:
    """A repaired key may lead elsewhere than the one of an interrupted import: the row would then hide its record."""
    begun = Entry(GOOD.letter_id, raw_partition, 0, None, "me@here import", datetime(2026, 1, 2, tzinfo=UTC), 60.0)
    desk = cast("Desk", SimpleNamespace(partition_of=partition_of, topic=SimpleNamespace(name="dead")))

    found = _begun(desk, {GOOD.letter_id: GOOD}, {GOOD.letter_id: begun})

    assert [record.headers[-1] for record in found] == [("imported-from", b"0:1")] * records
