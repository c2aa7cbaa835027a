"""The checker finds every kind of damage, names the invariant that it breaks, and no other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from schemas.identity import ClaimKey
from tests.chaos.checker import Fate, History, judge
from tests.chaos.journal import Answer
from tests.support.comparison import Invariant, event_key, source_offset
from tests.support.reference_model import Event, Raw, expected
from tests.unit.chaos.history import TOPIC, after, changed, correct, stored

One = TypeVar("One")
CORRECT = correct()
LEFT = CORRECT.left
MODEL = expected(LEFT.raw, TOPIC)
ORIGINS = [letter for letter in LEFT.letters if letter.origin is not None]
INGRESS = [letter for letter in LEFT.letters if letter.origin is None]


def test_a_correct_history_has_no_violation_and_shows_every_kind_of_webhook() -> None:
    verdict = judge(CORRECT)

    assert verdict.violations == []
    assert set(verdict.fates.values()) == {Fate.EVENT, Fate.DUPLICATE, Fate.DEAD_LETTER}
    assert len(verdict.fates) == sum(delivery.acked for delivery in CORRECT.deliveries)
    assert min(len(ORIGINS), len(INGRESS), MODEL.conflicts) > 0
    assert any(delivery.answer is Answer.UNAUTHENTICATED for delivery in CORRECT.deliveries)


def without(items: Sequence[One], one: One) -> list[One]:
    return [item for item in items if item is not one]


def instead(items: Sequence[One], one: One, other: One) -> list[One]:
    return [other if item is one else item for item in items]


def swapped(items: Sequence[One], one: One, other: One) -> list[One]:
    places = {id(one): other, id(other): one}
    return [places.get(id(item), item) for item in items]


def two_events_of_one_call() -> tuple[Event, Event]:
    for first in LEFT.events:
        for second in LEFT.events:
            if first is not second and first.key == second.key and first.topic == second.topic:
                return first, second
    raise AssertionError


def a_duplicate() -> tuple[Event, Raw]:
    """An event, and a later raw record of the same webhook."""
    for event in LEFT.events:
        owner = next(r for r in LEFT.raw if (r.partition, r.offset) == (event.partition, source_offset(event)))
        for record in LEFT.raw:
            if record is not owner and record.value == owner.value:
                return event, record
    raise AssertionError


def of_another_record(event: Event, record: Raw) -> Event:
    text = f"{TOPIC}/{record.partition}/{record.offset}".encode()
    return replace(event, headers=tuple((n, text if n == "ce_sourceoffset" else v) for n, v in event.headers))


def an_event_dropped() -> History:
    return changed(CORRECT, events=without(LEFT.events, LEFT.events[7]))


def all_events_of_a_partition_dropped() -> History:
    return changed(CORRECT, events=[event for event in LEFT.events if event.partition])


def an_event_doubled() -> History:
    return changed(CORRECT, events=[*LEFT.events, LEFT.events[7]])


def a_duplicate_emitted_beside_its_owner() -> History:
    event, record = a_duplicate()
    return changed(CORRECT, events=[*LEFT.events, of_another_record(event, record)])


def a_duplicate_emitted_instead_of_its_owner() -> History:
    event, record = a_duplicate()
    return changed(CORRECT, events=instead(LEFT.events, event, of_another_record(event, record)))


def an_event_out_of_nothing() -> History:
    ghost = replace(LEFT.events[3], headers=tuple((n, v + b"!") for n, v in LEFT.events[3].headers))
    return changed(CORRECT, events=[*LEFT.events, ghost])


def an_event_on_the_other_topic() -> History:
    moved = replace(LEFT.events[0], topic="recording")
    return changed(CORRECT, events=[*LEFT.events[1:], moved])


def a_byte_of_an_event_changed() -> History:
    event = LEFT.events[7]
    return changed(CORRECT, events=instead(LEFT.events, event, replace(event, value=event.value[:-1] + b" ")))


def a_header_of_an_event_gone() -> History:
    event = LEFT.events[7]
    return changed(CORRECT, events=instead(LEFT.events, event, replace(event, headers=event.headers[1:])))


def an_event_in_another_partition() -> History:
    event = LEFT.events[7]
    return changed(CORRECT, events=instead(LEFT.events, event, replace(event, partition=9)))


def two_events_of_a_call_swapped() -> History:
    return changed(CORRECT, events=swapped(LEFT.events, *two_events_of_one_call()))


def two_dead_letters_swapped() -> History:
    partition = ORIGINS[0].partition
    first, second = [letter for letter in ORIGINS if letter.partition == partition][:2]
    return changed(CORRECT, letters=swapped(LEFT.letters, first, second))


def a_dead_letter_dropped() -> History:
    return changed(CORRECT, letters=without(LEFT.letters, ORIGINS[0]))


def a_dead_letter_of_a_good_record() -> History:
    good = next(r for r in LEFT.raw if (r.partition, r.offset) in MODEL.owners.values())
    headers = tuple((n, str(good.offset).encode() if n.endswith(".offset") else v) for n, v in ORIGINS[0].headers)
    headers = tuple((n, str(good.partition).encode() if n.endswith(".partition") else v) for n, v in headers)
    letters = [ORIGINS[0]._replace(headers=headers, partition=9), *LEFT.letters]
    return changed(CORRECT, letters=letters)


def a_dead_letter_doubled() -> History:
    return changed(CORRECT, letters=[*LEFT.letters, ORIGINS[0]])


def a_byte_of_a_dead_letter_changed() -> History:
    letter = ORIGINS[0]._replace(value=ORIGINS[0].value + b" ")
    return changed(CORRECT, letters=instead(LEFT.letters, ORIGINS[0], letter))


def the_reason_of_a_dead_letter_changed() -> History:
    headers = tuple((n, b"other" if n.endswith(".code") else v) for n, v in ORIGINS[0].headers)
    return changed(CORRECT, letters=instead(LEFT.letters, ORIGINS[0], ORIGINS[0]._replace(headers=headers)))


def a_dead_letter_of_the_ingress_dropped() -> History:
    return changed(CORRECT, letters=without(LEFT.letters, INGRESS[0]))


def a_byte_of_a_dead_letter_of_the_ingress_changed() -> History:
    return changed(CORRECT, letters=instead(LEFT.letters, INGRESS[0], INGRESS[0]._replace(value=b"[")))


def an_acknowledged_record_never_stored() -> History:
    lost = next(delivery for delivery in CORRECT.deliveries if delivery.answer is Answer.ACCEPTED)
    return after(CORRECT.deliveries, stored(without(CORRECT.deliveries, lost)))


def a_stored_byte_changed() -> History:
    record = LEFT.raw[5]
    return after(CORRECT.deliveries, instead(LEFT.raw, record, replace(record, value=record.value + b" ")))


def a_forged_webhook_stored() -> History:
    deliveries = [
        replace(delivery, answer=Answer.ACCEPTED) if delivery.answer is Answer.UNAUTHENTICATED else delivery
        for delivery in CORRECT.deliveries
    ]
    return after(CORRECT.deliveries, stored(deliveries))


def a_record_that_nobody_sent() -> History:
    return after(CORRECT.deliveries[1:], LEFT.raw)


def two_raw_records_of_a_call_swapped() -> History:
    deliveries = [delivery for delivery in CORRECT.deliveries if delivery.answer is Answer.ACCEPTED]
    second = next(one for one in deliveries if one.key == deliveries[0].key and one is not deliveries[0])
    return after(CORRECT.deliveries, stored(swapped(deliveries, deliveries[0], second)))


def a_committed_offset_short_of_the_end() -> History:
    return changed(CORRECT, committed={**LEFT.committed, 1: LEFT.committed[1] - 1})


def a_committed_offset_missing() -> History:
    return changed(CORRECT, committed={p: offset for p, offset in LEFT.committed.items() if p != 1})


def a_committed_offset_moved_back_for_a_while() -> History:
    end = CORRECT.commits[1][-1]
    return replace(CORRECT, commits={**CORRECT.commits, 1: [0, end, end - 1, end]})


def a_commit_that_the_broker_does_not_show() -> History:
    return replace(CORRECT, commits={**CORRECT.commits, 1: CORRECT.commits[1][:-1]})


def an_open_transaction() -> History:
    return replace(CORRECT, undecided={**CORRECT.undecided, "ringover.call.v1/2": 1})


def a_claim_moved() -> History:
    key, (partition, offset) = next(iter(LEFT.state.claims.items()))
    return changed(CORRECT, state=replace(LEFT.state, claims={**LEFT.state.claims, key: (partition, offset + 1)}))


def a_claim_gone() -> History:
    key = next(iter(LEFT.state.claims))
    claims = {name: place for name, place in LEFT.state.claims.items() if name != key}
    return changed(CORRECT, state=replace(LEFT.state, claims=claims))


def a_claim_too_many() -> History:
    key = next(iter(LEFT.state.claims))
    return changed(CORRECT, state=replace(LEFT.state, claims={**LEFT.state.claims, ClaimKey(f"{key}!"): (0, 0)}))


def progress_behind() -> History:
    progress = {**LEFT.state.progress, 1: LEFT.state.progress[1] - 1}
    return changed(CORRECT, state=replace(LEFT.state, progress=progress))


def a_conflict_not_counted() -> History:
    return changed(CORRECT, state=replace(LEFT.state, conflicts=LEFT.state.conflicts - 1))


def late() -> History:
    return replace(CORRECT, drained=61.0)


def never_done() -> History:
    return replace(CORRECT, drained=None)


MUTATIONS: dict[Invariant, list[Callable[[], History]]] = {
    Invariant.I1: [
        an_acknowledged_record_never_stored,
        a_dead_letter_of_the_ingress_dropped,
        a_byte_of_a_dead_letter_of_the_ingress_changed,
        a_stored_byte_changed,
        a_forged_webhook_stored,
        a_record_that_nobody_sent,
    ],
    Invariant.I2: [
        an_event_dropped,
        all_events_of_a_partition_dropped,
        an_event_out_of_nothing,
        an_event_on_the_other_topic,
        a_dead_letter_dropped,
        a_dead_letter_of_a_good_record,
    ],
    Invariant.I3: [an_event_doubled, a_duplicate_emitted_beside_its_owner],
    Invariant.I4: [
        a_byte_of_an_event_changed,
        a_header_of_an_event_gone,
        an_event_in_another_partition,
        a_duplicate_emitted_instead_of_its_owner,
    ],
    Invariant.I5: [two_events_of_a_call_swapped, two_raw_records_of_a_call_swapped, two_dead_letters_swapped],
    Invariant.I6: [
        a_committed_offset_short_of_the_end,
        a_committed_offset_missing,
        a_committed_offset_moved_back_for_a_while,
        a_commit_that_the_broker_does_not_show,
    ],
    Invariant.I7: [an_open_transaction],
    Invariant.I8: [a_claim_moved, a_claim_gone, a_claim_too_many, progress_behind, a_conflict_not_counted],
    Invariant.I9: [late, never_done],
    Invariant.I11: [a_dead_letter_doubled, a_byte_of_a_dead_letter_changed, the_reason_of_a_dead_letter_changed],
}


def test_every_invariant_has_a_mutation() -> None:
    assert MUTATIONS.keys() == set(Invariant)


@pytest.mark.parametrize(
    ("invariant", "mutate"),
    [
        pytest.param(invariant, mutate, id=mutate.__name__)
        for invariant, mutations in MUTATIONS.items()
        for mutate in mutations
    ],
)
def test_a_mutation_is_found_by_the_invariant_it_breaks(invariant: Invariant, mutate: Callable[[], History]) -> None:
    assert {violation.invariant for violation in judge(mutate()).violations} == {invariant}


def test_each_violation_counts_once() -> None:
    assert judge(an_event_dropped()).count(Invariant.I2) == 1
    assert judge(an_event_doubled()).count(Invariant.I3) == 1
    assert judge(two_events_of_a_call_swapped()).count(Invariant.I5) == 1
    in_partition_0 = [event for event in LEFT.events if event.partition == 0]
    assert judge(all_events_of_a_partition_dropped()).count(Invariant.I2) == len(in_partition_0)


def test_an_event_dropped_is_a_webhook_lost() -> None:
    fates = judge(an_event_dropped()).fates

    assert list(fates.values()).count(Fate.LOST) == 1
    assert judge(an_acknowledged_record_never_stored()).fates.keys() == fates.keys()


def test_a_webhook_stored_twice_because_an_acknowledgement_was_lost_is_a_duplicate_and_no_violation() -> None:
    first = LEFT.raw[0]
    again = replace(first, offset=max(r.offset for r in LEFT.raw if r.partition == first.partition) + 1)
    verdict = judge(after(CORRECT.deliveries, [*LEFT.raw, again]))

    assert verdict.violations == []
    assert verdict.copies == 1
    assert len(verdict.model.events) == len({event_key(event) for event in LEFT.events})


def test_order_is_judged_only_between_webhooks_that_did_not_overlap() -> None:
    """Both were under way at once: either may come first."""
    history = two_raw_records_of_a_call_swapped()
    webhooks = {delivery.request_id for delivery in history.deliveries if delivery.key == history.deliveries[0].key}
    overlapping = [
        replace(delivery, attempts=[replace(delivery.attempts[0], sent=0.0)])
        if delivery.request_id in webhooks
        else delivery
        for delivery in history.deliveries
    ]

    assert judge(history).count(Invariant.I5) > 0
    assert judge(replace(history, deliveries=overlapping)).violations == []


def test_a_refused_webhook_may_be_stored_or_not() -> None:
    unknown = [replace(delivery, answer=Answer.NONE) for delivery in CORRECT.deliveries]

    assert judge(replace(CORRECT, deliveries=unknown)).violations == []
    assert judge(after(unknown, LEFT.raw[:100])).violations == []
