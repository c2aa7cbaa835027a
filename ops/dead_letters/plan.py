"""Plans what a replay or an import sends, in which order, and what would become of it: pure."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from ops.dead_letters.model import (
    Identity,
    Letter,
    LetterId,
    Selection,
    import_marker,
    replay_marker,
    without_markers,
)
from ops.dead_letters.outcome import NoPlace, OutcomeToday, StillBad, WouldBeEvent, outcome_today
from ops.kit.dead_letter import StatedReason
from schemas.headers import AnyHeaders
from schemas.identity import ClaimKey

PartitionOf = Callable[[bytes], int]


class ReplayKind(StrEnum):
    """Tells dead letters that are sent as they are from repaired ones; the last word of the ledger's column `who`."""

    REPLAY = "replay"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Holds one dead letter to send, without its body; `raw_offset` is its origin's, None for one of the ingress."""

    letter_id: LetterId
    reason: StatedReason
    outcome: OutcomeToday
    raw_partition: int | None
    raw_offset: int | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """Holds one record to write to the raw topic, with its marker."""

    letter_id: LetterId
    partition: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Counts the letters of a stage and code that would become the same, and says whether they are sent."""

    stage: str
    code: str
    becomes: str
    sent: bool
    count: int


@dataclass(frozen=True, slots=True)
class DeadLetterPlan:
    """Plans a replay or an import: `sending` in sending order, `refused` would be dead letters again or have no place.

    `passes_of_the_same_record` counts later dead letters of raw records that are in the plan already.
    """

    also_in_json: ClassVar = ("to_send", "left_out")

    outcomes: tuple[OutcomeCount, ...]
    replayed_already: int
    passes_of_the_same_record: int
    sending: tuple[Candidate, ...] = field(repr=False)
    refused: tuple[Candidate, ...] = field(repr=False)

    @property
    def to_send(self) -> int:
        return len(self.sending)

    @property
    def left_out(self) -> int:
        return len(self.refused)


@dataclass(slots=True)
class _Passes:
    """Collects the dead letters of one raw record: the first stands for all."""

    first: LetterId
    selected: int = 0
    candidate: Candidate | None = None


@dataclass(slots=True)
class Planner:
    """Takes every letter of the topic, or of a repaired file, in order within each partition, and keeps no body.

    Every letter, not only the selected: the first of several of one raw record stands for all. `partition_of` says
    where the raw topic puts a key.
    """

    selection: Selection
    partition_of: PartitionOf
    _passes: dict[Identity, _Passes] = field(default_factory=dict)
    _ids_found: set[LetterId] = field(default_factory=set)

    def add(self, letter: Letter) -> None:
        passes = self._passes.setdefault(letter.identity, _Passes(letter.id))
        if not self.selection.matches(letter):
            return
        if self.selection.ids:
            self._ids_found.add(letter.id)
        passes.selected += 1
        if passes.candidate is None:
            passes.candidate = candidate_of(letter, passes.first, self.partition_of)

    @property
    def missing_ids(self) -> list[LetterId]:
        """Ids that were asked for and are not in the topic."""
        return sorted(self.selection.ids - self._ids_found)

    def candidates(self, replayed: Collection[Identity]) -> list[Candidate]:
        """Return what could be sent: nothing of which any pass was replayed."""
        left = (passes.candidate for identity, passes in self._passes.items() if identity not in replayed)
        return [candidate for candidate in left if candidate is not None]

    def plan(
        self, replayed: Collection[Identity], owned: Collection[ClaimKey], *, even_if_still_bad: bool = False
    ) -> DeadLetterPlan:
        """Decide what is sent; `owned` are the candidates' claim keys that a record of the raw log owns already."""
        claimed = set(owned)
        sending: list[Candidate] = []
        refused: list[Candidate] = []
        counts: Counter[tuple[str, str, str, bool]] = Counter()
        for candidate in in_order(self.candidates(replayed)):
            outcome = candidate.outcome
            sent = isinstance(outcome, WouldBeEvent) or (isinstance(outcome, StillBad) and even_if_still_bad)
            (sending if sent else refused).append(candidate)
            counts[candidate.reason.stage, candidate.reason.code, _becomes(outcome, claimed), sent] += 1
        chosen = {identity: passes.selected for identity, passes in self._passes.items() if passes.selected}
        return DeadLetterPlan(
            outcomes=tuple(OutcomeCount(*what, count) for what, count in sorted(counts.items())),
            replayed_already=sum(identity in replayed for identity in chosen),
            passes_of_the_same_record=sum(selected - 1 for selected in chosen.values()),
            sending=tuple(sending),
            refused=tuple(refused),
        )


def candidate_of(letter: Letter, letter_id: LetterId, partition_of: PartitionOf) -> Candidate:
    """Judge one letter; `letter_id` is the one under which it is replayed."""
    outcome, origin = outcome_today(letter), letter.origin
    key = None if isinstance(outcome, NoPlace) else outcome.key
    if key is not None:
        partition: int | None = partition_of(key)
    else:
        partition = None if origin is None else origin.partition
    offset = None if origin is None else origin.offset
    return Candidate(letter_id, letter.reason, outcome, partition, offset, letter.timestamp_ms)


def claim_keys(candidates: Iterable[Candidate]) -> list[ClaimKey]:
    """Return the keys that the candidates' events would claim."""
    return [found.outcome.claim_key for found in candidates if isinstance(found.outcome, WouldBeEvent)]


def in_order(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Order candidates by raw partition, and within it as first received.

    What was in the raw log keeps its order; bodies that the ingress could not place have no offset there and come in
    between by time.
    """
    by_partition: dict[int, tuple[list[Candidate], list[Candidate]]] = {}
    for candidate in candidates:
        partition = -1 if candidate.raw_partition is None else candidate.raw_partition
        logged, unplaced = by_partition.setdefault(partition, ([], []))
        (unplaced if candidate.raw_offset is None else logged).append(candidate)
    for _, (logged, unplaced) in sorted(by_partition.items()):
        logged.sort(key=lambda candidate: (candidate.raw_offset or 0, candidate.letter_id))
        unplaced.sort(key=lambda candidate: (candidate.timestamp_ms, candidate.letter_id))
        yield from heapq.merge(logged, unplaced, key=lambda candidate: candidate.timestamp_ms)


def record_of(candidate: Candidate, letter: Letter, kind: ReplayKind, topic: str) -> ReplayRecord | None:
    """Make the record that sends a dead letter of `topic` back; None if it has no place in the raw log."""
    if isinstance(candidate.outcome, NoPlace) or candidate.raw_partition is None:
        return None
    letter_id = candidate.letter_id
    marker = import_marker(letter_id) if kind is ReplayKind.IMPORT else replay_marker(topic, letter_id)
    headers = [*without_markers(letter.headers), marker]
    return ReplayRecord(letter_id, candidate.raw_partition, candidate.outcome.key, letter.value, headers)


def _becomes(outcome: OutcomeToday, claimed: set[ClaimKey]) -> str:
    match outcome:
        case WouldBeEvent(claim_key=claim_key):
            if claim_key in claimed:
                return "duplicate"
            claimed.add(claim_key)
            return "event"
        case StillBad(reason=reason):
            return f"dead letter again: {reason.code.value}"
        case NoPlace(reason=reason):
            return f"cannot be replayed: {reason.code.value}"
