"""What a replay or an import would send, in which order, and what would become of it: pure."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from ops.dead_letters.model import Identity, Letter, LetterId, Why
from ops.dead_letters.outcome import Fate, NoPlace, StillBad, WouldBeEvent, fate_of
from ops.dead_letters.selection import Selection
from schemas.headers import AnyHeaders
from schemas.identity import ClaimKey

EVENT = "event"
DUPLICATE = "duplicate"

PartitionOf = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One dead letter to send, without its body; `raw_offset` is its origin's, None for one of the ingress."""

    letter_id: LetterId
    why: Why
    fate: Fate
    raw_partition: int | None
    raw_offset: int | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to write to the raw topic, with its marker."""

    letter_id: LetterId
    partition: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many letters of a stage and code would become what, and whether they are sent."""

    stage: str
    code: str
    becomes: str
    sent: bool
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`to_send` is in sending order; `left_out` would be dead letters again, or have no place in the raw log.

    `again` counts later dead letters of raw records that are in the plan already.
    """

    to_send: tuple[Candidate, ...]
    left_out: tuple[Candidate, ...]
    outlooks: tuple[Outlook, ...]
    replayed_already: int
    again: int


@dataclass(slots=True)
class _Entry:
    """What is known of one raw record's dead letters."""

    first: LetterId
    selected: int = 0
    replayed: bool = False
    candidate: Candidate | None = None


@dataclass(slots=True)
class Planner:
    """Takes every letter of the topic, in order within each partition, and keeps no body.

    Every letter, not only the selected: the first of several of one raw record stands for all, and one that was
    replayed settles all. `partition_of` says where the raw topic puts a key.
    """

    selection: Selection
    sent: Collection[LetterId]
    partition_of: PartitionOf
    _entries: dict[Identity, _Entry] = field(default_factory=dict)
    _ids_found: set[LetterId] = field(default_factory=set)

    def add(self, letter: Letter) -> None:
        """Take one more."""
        entry = self._entries.setdefault(letter.identity, _Entry(letter.letter_id))
        entry.replayed |= letter.letter_id in self.sent
        if not self.selection.matches(letter):
            return
        if self.selection.ids:
            self._ids_found.add(letter.letter_id)
        entry.selected += 1
        if entry.candidate is None:
            entry.candidate = candidate_of(letter, entry.first, self.partition_of)

    @property
    def missing_ids(self) -> list[LetterId]:
        """Ids that were asked for and are not in the topic."""
        return sorted(self.selection.ids - self._ids_found)

    @property
    def claim_keys(self) -> list[ClaimKey]:
        """The keys that the plan's events would claim."""
        return claim_keys(self._candidates())

    def plan(self, owned: Collection[ClaimKey], *, even_if_still_bad: bool = False) -> Plan:
        """Decide; `owned` are those of `claim_keys` that a record of the raw log owns already."""
        chosen = [entry for entry in self._entries.values() if entry.selected]
        return make_plan(
            self._candidates(),
            owned,
            even_if_still_bad=even_if_still_bad,
            replayed_already=sum(entry.replayed for entry in chosen),
            again=sum(entry.selected - 1 for entry in chosen),
        )

    def _candidates(self) -> list[Candidate]:
        entries = (entry for entry in self._entries.values() if not entry.replayed)
        return [entry.candidate for entry in entries if entry.candidate is not None]


def candidate_of(letter: Letter, letter_id: LetterId, partition_of: PartitionOf) -> Candidate:
    """Judge one letter; `letter_id` is the one under which it is replayed."""
    fate = fate_of(letter)
    key = None if isinstance(fate, NoPlace) else fate.key
    if key is not None:
        partition: int | None = partition_of(key)
    else:
        partition = letter.origin.partition if letter.origin is not None else None
    offset = letter.origin.offset if letter.origin is not None else None
    return Candidate(letter_id, letter.why, fate, partition, offset, letter.timestamp_ms)


def claim_keys(candidates: Iterable[Candidate]) -> list[ClaimKey]:
    """The keys that the candidates' events would claim."""
    return [found.fate.claim_key for found in candidates if isinstance(found.fate, WouldBeEvent)]


def make_plan(
    candidates: Iterable[Candidate],
    owned: Collection[ClaimKey],
    *,
    even_if_still_bad: bool,
    replayed_already: int,
    again: int,
) -> Plan:
    """Order the candidates, and say what would become of each."""
    claimed = set(owned)
    to_send: list[Candidate] = []
    left_out: list[Candidate] = []
    counts: Counter[tuple[str, str, str, bool]] = Counter()
    for candidate in in_order(candidates):
        becomes = _becomes(candidate.fate, claimed)
        sent = isinstance(candidate.fate, WouldBeEvent) or (isinstance(candidate.fate, StillBad) and even_if_still_bad)
        (to_send if sent else left_out).append(candidate)
        counts[candidate.why.stage, candidate.why.code, becomes, sent] += 1
    outlooks = tuple(Outlook(*what, count) for what, count in sorted(counts.items()))
    return Plan(tuple(to_send), tuple(left_out), outlooks, replayed_already, again)


def in_order(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """By raw partition, and within it as first received.

    What was in the raw log keeps its order; bodies that the ingress put aside have no offset there and come in between
    by time.
    """
    by_partition: dict[int, tuple[list[Candidate], list[Candidate]]] = {}
    for candidate in candidates:
        partition = -1 if candidate.raw_partition is None else candidate.raw_partition
        logged, aside = by_partition.setdefault(partition, ([], []))
        (aside if candidate.raw_offset is None else logged).append(candidate)
    for _, (logged, aside) in sorted(by_partition.items()):
        logged.sort(key=lambda candidate: (candidate.raw_offset or 0, candidate.letter_id))
        aside.sort(key=lambda candidate: (candidate.timestamp_ms, candidate.letter_id))
        yield from heapq.merge(logged, aside, key=lambda candidate: candidate.timestamp_ms)


def _becomes(fate: Fate, claimed: set[ClaimKey]) -> str:
    match fate:
        case WouldBeEvent(claim_key=claim_key):
            if claim_key in claimed:
                return DUPLICATE
            claimed.add(claim_key)
            return EVENT
        case StillBad(reason=reason):
            return f"dead letter again: {reason.code.value}"
        case NoPlace(reason=reason):
            return f"cannot be replayed: {reason.code.value}"
