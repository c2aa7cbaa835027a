"""Checks what must hold after the demo: what was observed against what was posted. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from ops.send.samples import specification
from sandbox.demo.observed import Observed, SeenEvent
from sandbox.demo.workload import Expected, Fate, Step, key_of
from schemas.events import ENDPOINTS, EventType
from schemas.headers import header
from schemas.identity import derived_event_id

SPECIFICATION_CALL = "ro_call_123"
STARTED_AT = "2026-01-02T15:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Check:
    """Is one line of the checklist; `detail` says what was found."""

    name: str
    holds: bool
    detail: str = ""


def check_all(observed: Observed, wanted: Expected, steps: Sequence[Step]) -> list[Check]:
    """Make the checklist; `steps` are the scenario's, whose answers were kept in order."""
    return [
        *_specification_values(observed),
        _specification_id(observed),
        _everything_acknowledged(observed, steps),
        _one_event_per_key(observed, wanted),
        _duplicates(observed, wanted),
        _dead_letters(observed, wanted),
        _order(observed.seen.events),
        _started_before_ended(observed.seen.events),
        _forged(observed, steps),
        _raw_log(observed, wanted),
    ]


def _specification_values(observed: Observed) -> Iterator[Check]:
    by_key = {event.headers.idempotency_key: event.record.value for event in observed.seen.events}
    for slug, event_type in ENDPOINTS.items():
        value = by_key.get(key_of(slug, specification(slug).body))
        # Compact JSON with the specification's fields in its order.
        wanted = orjson.dumps(orjson.loads(specification(slug).expected))
        detail = "" if value == wanted else f"found {value!r}"
        yield Check(f"{event_type.value}: the specification's normalized value, byte for byte", value == wanted, detail)


def _specification_id(observed: Observed) -> Check:
    wanted = derived_event_id(EventType.CALL_STARTED, SPECIFICATION_CALL, STARTED_AT)
    answered = observed.answers[0].event_id if observed.answers else None
    emitted = {
        event.headers.event_id
        for event in observed.seen.events
        if event.headers.subject == SPECIFICATION_CALL and event.headers.event_type is EventType.CALL_STARTED
    }
    holds = answered == wanted and emitted == {wanted}
    return Check("call.started: the specification's event id, answered and emitted", holds)


def _everything_acknowledged(observed: Observed, steps: Sequence[Step]) -> Check:
    scenario = zip(steps, observed.answers, strict=True)
    bad = [step.webhook.name for step, answer in scenario if answer.accepted is (step.fate is Fate.REFUSED)]
    bad += [answer.webhook.name for answer in observed.load_answers if not answer.accepted]
    count = len(observed.answers) + len(observed.load_answers)
    return Check(f"{count} webhooks posted, all authentic ones answered 202", not bad, ", ".join(bad[:5]))


def _one_event_per_key(observed: Observed, wanted: Expected) -> Check:
    emitted = Counter(event.headers.idempotency_key for event in observed.seen.events)
    holds = set(emitted) == wanted.keys and emitted.total() == len(wanted.keys)
    detail = (
        f"{emitted.total()} events, {len(wanted.keys - set(emitted))} keys missing, "
        f"{len(set(emitted) - wanted.keys)} unexpected, {emitted.total() - len(emitted)} repeated"
    )
    return Check(f"one event per idempotency key: {len(wanted.keys)}", holds, "" if holds else detail)


def _duplicates(observed: Observed, wanted: Expected) -> Check:
    duplicates = sum(row.records - 1 for row in observed.claims)
    holds = (duplicates, len(observed.conflicts)) == (wanted.duplicates, wanted.conflicts)
    detail = f"found {duplicates}, {len(observed.conflicts)} conflicts"
    name = f"duplicates counted, not emitted: {wanted.duplicates}, of them {wanted.conflicts} with other content"
    return Check(name, holds and len(observed.claims) == len(wanted.keys), "" if holds else detail)


def _dead_letters(observed: Observed, wanted: Expected) -> Check:
    bodies = tuple(sorted(dead.record.value or b"" for dead in observed.seen.dead))
    holds = bodies == wanted.dead_bodies
    name = f"dead letters, with the bodies as received: {wanted.dead_letters}"
    return Check(name, holds, "" if holds else f"found {len(bodies)}")


def _order(events: Sequence[SeenEvent]) -> Check:
    """Raw order within each partition of each topic, in the order a consumer got them."""
    last: dict[tuple[str, int], int] = {}
    wrong = 0
    for event in events:
        place = (event.record.topic, event.record.partition)
        partition, offset = event.source
        if partition != event.record.partition or offset <= last.get(place, -1):
            wrong += 1
        last[place] = offset
    return Check("events in the raw log's order, partition by partition", wrong == 0, f"{wrong} not" if wrong else "")


def _started_before_ended(events: Sequence[SeenEvent]) -> Check:
    ended: set[str] = set()
    wrong = []
    for event in events:
        if event.headers.event_type is EventType.CALL_ENDED:
            ended.add(event.headers.subject)
        elif event.headers.event_type is EventType.CALL_STARTED and event.headers.subject in ended:
            wrong.append(event.headers.subject)
    name = f"each of {len(ended)} calls starts before it ends"
    return Check(name, not wrong, ", ".join(wrong[:5]))


def _forged(observed: Observed, steps: Sequence[Step]) -> Check:
    forged = [step.webhook.body for step in steps if step.fate is Fate.REFUSED]
    answered = [answer.http_status for answer in observed.answers if answer.webhook.body in forged]
    stored = [record for record in observed.seen.raw if record.value in forged]
    stored += [dead.record for dead in observed.seen.dead if dead.record.value in forged]
    holds = answered == [401] * len(forged) and not stored
    return Check("a bad signature is answered 401 and stored nowhere", holds, "" if holds else f"answered {answered}")


def _raw_log(observed: Observed, wanted: Expected) -> Check:
    found = len(observed.seen.raw)
    verbatim = all(header(record.headers, "request-id") for record in observed.seen.raw)
    holds = found == wanted.raw_records and verbatim and observed.lag_records == 0
    detail = f"found {found}, lag {observed.lag_records}"
    return Check(f"raw log: {wanted.raw_records} records, all processed", holds, "" if holds else detail)
