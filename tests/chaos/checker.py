"""The judge: obligations, and what the run left behind, against the invariants. Pure; holds no clock and no client."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from tests.chaos.journal import Answer, Delivery
from tests.support.comparison import (
    Invariant,
    Left,
    Letter,
    Violation,
    event_key,
    request_id,
    source_offset,
    violations,
)
from tests.support.reference_model import Expected, Raw, expected

DRAIN_SECONDS = 60.0  # I9

Stored = TypeVar("Stored", Raw, Letter)


class Fate(Enum):
    """What became of a webhook that was answered 2xx."""

    EVENT = "event"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead letter"
    LOST = "lost"


@dataclass(frozen=True)
class History:
    """A run that is over.

    Attributes:
        commits: by partition, every offset that the group committed, in order.
        undecided: by `topic/partition`, records after the last stable offset, read when every transaction that was
            open at healing must have ended.
        drained: seconds from healing until everything was processed; None: it never was.
    """

    raw_topic: str
    deliveries: Sequence[Delivery]
    left: Left
    commits: Mapping[int, Sequence[int]]
    undecided: Mapping[str, int]
    drained: float | None


@dataclass(frozen=True)
class Verdict:
    """What the checker found; fates of the obligations by request id."""

    model: Expected
    violations: Sequence[Violation]
    fates: Mapping[str, Fate]
    copies: int  # records that one webhook has in raw beyond its first
    doubled_letters: int  # the same of the dead letters that the ingress stored

    def count(self, invariant: Invariant) -> int:
        """How many violations of it."""
        return sum(violation.invariant is invariant for violation in self.violations)


def judge(history: History) -> Verdict:
    """Every invariant, over everything."""
    left = history.left
    model = expected(left.raw, history.raw_topic)
    by_webhook = _by_webhook((request_id(record.headers), record) for record in left.raw)
    letters = _by_webhook((request_id(one.headers), one) for one in left.letters if one.origin is None)
    found = [
        *stored_violations(history.deliveries, by_webhook, letters),
        *sender_order_violations(history.deliveries, by_webhook),
        *violations(model, left),
        *history_violations(history.commits, left.committed),
        *(Violation(Invariant.I7, f"{place}: {n} records undecided") for place, n in history.undecided.items() if n),
        *_in_time(history.drained),
    ]
    return Verdict(
        model,
        found,
        fates(history.deliveries, by_webhook, letters, model, left),
        sum(len(records) - 1 for records in by_webhook.values()),
        sum(len(copies) - 1 for copies in letters.values()),
    )


def stored_violations(
    deliveries: Iterable[Delivery], raw: Mapping[str, Sequence[Raw]], letters: Mapping[str, Sequence[Letter]]
) -> Iterator[Violation]:
    """I1: what was acknowledged is there, what is there was sent as it is, and by somebody who proved who he is."""
    known = {delivery.request_id: delivery for delivery in deliveries}
    for webhook, delivery in known.items():
        stored, given_up = raw.get(webhook, ()), letters.get(webhook, ())
        if (delivery.answer is Answer.ACCEPTED and not stored) or (
            delivery.answer is Answer.DEAD_LETTERED and not given_up
        ):
            yield Violation(Invariant.I1, f"answered {delivery.answer.value}, stored nowhere: {delivery}", webhook)
        if delivery.answer is Answer.UNAUTHENTICATED and (stored or given_up):
            yield Violation(Invariant.I1, f"refused as forged, yet stored: {delivery}", webhook)
        for record in stored:
            if (record.key, record.value) != (delivery.key.encode(), delivery.body):
                yield Violation(Invariant.I1, f"stored as {record!r} instead of {delivery}", webhook)
        for letter in given_up:
            if letter.value != delivery.body:
                yield Violation(Invariant.I1, f"given up as {letter!r} instead of {delivery}", webhook)
    for webhook in (raw.keys() | letters.keys()) - known.keys():
        yield Violation(Invariant.I1, f"stored, but never sent: {webhook}")


def sender_order_violations(deliveries: Iterable[Delivery], raw: Mapping[str, Sequence[Raw]]) -> Iterator[Violation]:
    """I5, first half: of one call, what was acknowledged before another was first sent lies before it.

    First appearances count: a webhook may be stored a second time when its acknowledgement was lost.
    """
    calls: dict[str, list[tuple[Delivery, Raw]]] = defaultdict(list)
    for delivery in deliveries:
        if delivery.answer is Answer.ACCEPTED and delivery.request_id in raw:
            calls[delivery.key].append((delivery, raw[delivery.request_id][0]))
    for of_call in calls.values():
        for later, its_record in of_call:
            before = [
                (delivery, record)
                for delivery, record in of_call
                if delivery.answered < later.sent and _place(record) > _place(its_record)
            ]
            if before:
                text = f"{later} lies at {_place(its_record)}, {before[0][0]} at {_place(before[0][1])}"
                yield Violation(Invariant.I5, text, later.request_id)


def history_violations(commits: Mapping[int, Sequence[int]], committed: Mapping[int, int]) -> Iterator[Violation]:
    """I6, second half: no offset was ever committed below an earlier one, and the last is what the broker shows."""
    for partition, offsets in commits.items():
        for before, after in pairwise(offsets):
            if after < before:
                yield Violation(Invariant.I6, f"partition {partition} went from {before} back to {after}")
    for partition, shown in committed.items():
        last = commits.get(partition, [None])[-1]
        if last != shown:
            yield Violation(Invariant.I6, f"partition {partition}: the broker shows {shown}, the last commit is {last}")


def fates(
    deliveries: Iterable[Delivery],
    raw: Mapping[str, Sequence[Raw]],
    letters: Mapping[str, Sequence[Letter]],
    model: Expected,
    left: Left,
) -> dict[str, Fate]:
    """What became of each obligation, by what is really there."""
    emitted = {event_key(event) for event in left.events}
    dead = {letter.origin for letter in left.letters}
    owners = {(event.partition, source_offset(event)): event_key(event) in emitted for event in model.events}
    lost = {place for place, kept in owners.items() if not kept}
    lost |= {_place(one.raw) for one in model.dead_letters} - dead
    found = {}
    for delivery in deliveries:
        if not delivery.acked:
            continue
        places = [_place(record) for record in raw.get(delivery.request_id, ())]
        if letters.get(delivery.request_id) or any(place in dead for place in places):
            fate = Fate.DEAD_LETTER
        elif not places or any(place in lost for place in places):
            fate = Fate.LOST
        else:
            fate = Fate.EVENT if any(place in owners for place in places) else Fate.DUPLICATE
        found[delivery.request_id] = fate
    return found


def _in_time(drained: float | None) -> Iterator[Violation]:
    if drained is None:
        yield Violation(Invariant.I9, "not everything was processed when the run gave up")
    elif drained > DRAIN_SECONDS:
        yield Violation(Invariant.I9, f"everything was processed only {drained:.1f} s after healing")


def _place(record: Raw) -> tuple[int, int]:
    return record.partition, record.offset


def _by_webhook(pairs: Iterable[tuple[str | None, Stored]]) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = defaultdict(list)
    for webhook, record in pairs:
        found[webhook or "without a request id"].append(record)
    return dict(found)
