"""What a run left behind, against the reference model: pure; every difference is a violation of one invariant."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeVar

from schemas.dead_letter import CODE, OFFSET, PARTITION, PREFIX, TOPIC
from schemas.events import EventType
from schemas.headers import REQUEST_ID, header
from schemas.identity import ClaimKey, claim_key
from tests.support.reference_model import Dead, Event, Expected, Raw, RawHeaders

Where = TypeVar("Where")


class Invariant(Enum):
    """What must hold for every run, whatever happened in it."""

    I1 = "every webhook answered 2xx is stored, byte for byte; nothing else is"
    I2 = "each raw record has one fate: an event, a duplicate, a dead letter"
    I3 = "one event per idempotency key"
    I4 = "events equal the model's, byte for byte, headers included"
    I5 = "order: raw follows the sends, events and dead letters follow raw"
    I6 = "the committed offset is the log's end, and never moved back"
    I7 = "no transaction stays open"
    I8 = "claims are the first valid records of the log, conflicts the model's; progress is the log's end"
    I9 = "everything is processed in time after healing"
    I11 = "dead letters once each, byte for byte"


class Violation(NamedTuple):
    """One difference; `webhook` is the request id of the webhook concerned, when there is one."""

    invariant: Invariant
    text: str
    webhook: str | None = None


class Letter(NamedTuple):
    """One record of the dead-letter topic."""

    partition: int
    key: bytes | None
    value: bytes
    headers: RawHeaders

    @property
    def origin(self) -> tuple[int, int] | None:
        """Partition and offset of the raw record that was given up; None for a letter of the ingress."""
        if header(self.headers, TOPIC) is None:
            return None
        return int(header(self.headers, PARTITION) or -1), int(header(self.headers, OFFSET) or -1)


@dataclass(frozen=True)
class State:
    """What the state table holds of one log."""

    claims: Mapping[ClaimKey, tuple[int, int]]  # the owner's partition and offset by claim key
    conflicts: int
    progress: Mapping[int, int]


@dataclass(frozen=True)
class Left:
    """What a run left behind: everything that the topics and the state table hold, in the order of each partition."""

    raw: Sequence[Raw]
    events: Sequence[Event]
    letters: Sequence[Letter]
    state: State
    committed: Mapping[int, int]


EventKey = tuple[str, bytes, bytes]


def event_key(event: Event) -> EventKey:
    """What is emitted once; the call id is in it because a published key may be shared by two pairs of ids."""
    headers = dict(event.headers)
    return event.topic, headers.get("ce_subject", b""), headers.get("ce_idempotencykey", b"")


def source_offset(event: Event) -> int:
    return int(dict(event.headers)["ce_sourceoffset"].decode().rpartition("/")[2])


def request_id(headers: RawHeaders) -> str | None:
    found = header(headers, REQUEST_ID)
    return None if found is None else found.decode()


def violations(model: Expected, left: Left) -> Iterator[Violation]:
    """Everything that must hold of what is left when all is processed."""
    ends = log_ends(left.raw)
    yield from output_violations(model, left.raw, left.events)
    yield from dead_letter_violations(model.dead_letters, left.letters)
    yield from state_violations(model, left.state, ends)
    yield from committed_violations(left.committed, ends)


def output_violations(model: Expected, raw: Sequence[Raw], events: Sequence[Event]) -> Iterator[Violation]:
    """Missing, repeated, different and disordered events; `events` in the order of each topic and partition."""
    webhooks = {(record.partition, record.offset): request_id(record.headers) for record in raw}
    found: dict[EventKey, list[Event]] = defaultdict(list)
    for event in events:
        found[event_key(event)].append(event)
    wanted = {event_key(event): event for event in model.events}
    for key, event in wanted.items():
        webhook = webhooks[event.partition, source_offset(event)]
        copies = found.get(key, [])
        if not copies:
            yield Violation(Invariant.I2, f"no event {_name(key)}: {event!r}", webhook)
        elif event not in copies:
            yield Violation(Invariant.I4, f"{copies[0]!r} instead of {event!r}", webhook)
        if len(copies) > 1:
            sources = [dict(copy.headers).get("ce_sourceoffset") for copy in copies]
            yield Violation(Invariant.I3, f"{len(copies)} events {_name(key)}, of raw {sources}", webhook)
    for key in found.keys() - wanted.keys():
        yield Violation(Invariant.I2, f"an event {_name(key)} that the log does not explain: {found[key]!r}")
    owners = ((event.topic, event.partition, wanted.get(event_key(event))) for event in _first_copies(events))
    offsets = [((topic, partition), source_offset(owner)) for topic, partition, owner in owners if owner]
    for (topic, partition), offset, before in _backwards(offsets):
        text = f"{topic}/{partition}: the event of raw offset {offset} comes after that of {before}"
        yield Violation(Invariant.I5, text, webhooks.get((partition, offset)))


def dead_letter_violations(dead: Sequence[Dead], letters: Sequence[Letter]) -> Iterator[Violation]:
    """The dead letters that came from the raw log; those of the ingress are not judged here."""
    found: dict[tuple[int, int], list[Letter]] = defaultdict(list)
    for letter in letters:
        if letter.origin is not None:
            found[letter.origin].append(letter)
    wanted = {(one.raw.partition, one.raw.offset): one for one in dead}
    for place, one in wanted.items():
        webhook, copies = request_id(one.raw.headers), found.get(place, [])
        if not copies:
            yield Violation(Invariant.I2, f"no dead letter {one.code} of raw {place}", webhook)
        if len(copies) > 1:
            yield Violation(Invariant.I11, f"{len(copies)} dead letters of raw {place}", webhook)
        for letter in copies:
            if not _same_letter(letter, one):
                yield Violation(Invariant.I11, f"raw {place}: {letter!r} instead of {one!r}", webhook)
    for place in found.keys() - wanted.keys():
        yield Violation(Invariant.I2, f"a dead letter of raw {place}, which is none: {found[place]!r}")
    places = dict.fromkeys(letter.origin for letter in letters if letter.origin is not None)  # first copies, in order
    for partition, offset, before in _backwards(places):
        text = f"partition {partition}: the dead letter of raw offset {offset} comes after that of {before}"
        yield Violation(Invariant.I5, text)


def state_violations(model: Expected, state: State, ends: Mapping[int, int]) -> Iterator[Violation]:
    """The claims as a function of the log; `ends`: by partition, the offset after the last raw record."""
    wanted = {claim_key(EventType(identity[0]), *identity[1:]): owner for identity, owner in model.owners.items()}
    for key in sorted(wanted.keys() | state.claims.keys()):
        if state.claims.get(key) != wanted.get(key):
            text = f"the claim {key} is {state.claims.get(key)}, the first valid record {wanted.get(key)}"
            yield Violation(Invariant.I8, text)
    if state.conflicts != model.conflicts:
        yield Violation(Invariant.I8, f"{state.conflicts} conflicts instead of {model.conflicts}")
    for partition, progress, end in _unequal(state.progress, ends):
        yield Violation(Invariant.I8, f"progress of partition {partition} is {progress}, the log ends at {end}")


def committed_violations(committed: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Violation]:
    """The group's offsets when everything is processed."""
    for partition, offset, end in _unequal(committed, ends):
        yield Violation(Invariant.I6, f"partition {partition} is committed up to {offset}, the log ends at {end}")


def log_ends(raw: Iterable[Raw]) -> dict[int, int]:
    """By partition that has records: the offset after the last one."""
    return {record.partition: record.offset + 1 for record in sorted(raw, key=lambda record: record.offset)}


def _first_copies(events: Sequence[Event]) -> Iterable[Event]:
    first: dict[EventKey, Event] = {}
    for event in events:
        first.setdefault(event_key(event), event)
    return first.values()


def _backwards(places: Iterable[tuple[Where, int]]) -> Iterator[tuple[Where, int, int]]:
    """Of (where, offset) pairs, those below an earlier offset of the same `where`, with that offset."""
    highest: dict[Where, int] = {}
    for where, offset in places:
        if offset < highest.get(where, -1):
            yield where, offset, highest[where]
        else:
            highest[where] = offset


def _unequal(found: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[tuple[int, int, int]]:
    for partition in sorted(found.keys() | ends.keys()):
        if found.get(partition, 0) != ends.get(partition, 0):
            yield partition, found.get(partition, 0), ends.get(partition, 0)


def _same_letter(letter: Letter, dead: Dead) -> bool:
    raw = dead.raw
    originals = tuple(pair for pair in letter.headers if not pair[0].startswith(PREFIX))
    code = (header(letter.headers, CODE) or b"").decode()
    return (letter.partition, letter.key, letter.value, originals, code) == (
        *(raw.partition, raw.key, raw.value, tuple(raw.headers)),
        dead.code,
    )


def _name(key: EventKey) -> str:
    return f"{key[2].decode(errors='replace')} on {key[0]}"
