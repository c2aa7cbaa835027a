"""Decide what comes out of a batch: pure functions from verdicts and owners to outcomes.

A record *owns* its key when it is the first valid record of the log with that key. Owners are emitted, on every pass;
the others are duplicates, on every pass.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from processors.model import (
    Batch,
    Claim,
    Conflict,
    DeadLettered,
    Decision,
    Duplicate,
    Emit,
    Normalized,
    Outcome,
    Owner,
    RawRecord,
    Record,
    Rejected,
)
from processors.size import fits
from schemas.dead_letter import Origin, Reason, reason_headers
from schemas.identity import ClaimKey
from schemas.topics import TopicNames


def claims_of(batch: Batch, *, counted_until: int) -> list[Claim]:
    """One claim per key, with the key's smallest offset in the batch, sorted by key.

    The order keeps two processors that claim the same keys at once from waiting for each other in a circle.
    `counted_until`: records below this offset were counted in an earlier pass.
    """
    claims: dict[ClaimKey, Claim] = {}
    for record, verdict in zip(batch.records, batch.verdicts, strict=True):
        if not isinstance(verdict, Normalized):
            continue
        new = 1 if record.offset >= counted_until else 0
        known = claims.get(verdict.claim_key)
        claims[verdict.claim_key] = (
            Claim(verdict.claim_key, record.offset, record.timestamp, verdict.content_hash, new)
            if known is None
            else Claim(known.key, known.offset, known.time_ms, known.content_hash, known.records + new)
        )
    return sorted(claims.values(), key=lambda claim: claim.key)


def decide(batch: Batch, owners: Mapping[ClaimKey, Owner], *, topics: TopicNames, group: str) -> Decision:
    """Turn each record into an outcome; `owners` has every key that the batch claims."""
    decision = Decision()
    for record, verdict in zip(batch.records, batch.verdicts, strict=True):
        match verdict:
            case Rejected(reason=reason):
                decision.outcomes.append(DeadLettered(reason))
                origin = Origin(topics.raw, batch.partition, record.offset, group)
                _write(decision, topics.dead_letter, _dead_letter(record, reason, origin))
            case Normalized():
                owner = owners[verdict.claim_key]
                if (owner.partition, owner.offset) == (batch.partition, record.offset):
                    decision.outcomes.append(Emit(verdict.event_type))
                    event = Record(record.key, verdict.value, verdict.headers, record.timestamp)
                    _write(decision, topics.of_event(verdict.event_type), event)
                else:
                    conflict = owner.content_hash != verdict.content_hash
                    decision.outcomes.append(Duplicate(verdict.event_type, conflict))
                    if conflict:
                        decision.conflicts.append(Conflict(verdict.claim_key, record.offset, record.timestamp))
    return decision


def _write(decision: Decision, topic: str, record: Record) -> None:
    decision.outputs.setdefault(topic, []).append(record)


def _dead_letter(record: RawRecord, reason: Reason, origin: Origin) -> Record:
    """The raw record and the reason; of one that was written compressed and fits nowhere, what fits."""
    why = reason_headers(reason, origin)
    headers = [*record.headers, *why]
    if fits(record.key, record.value, headers):
        return Record(record.key, record.value, headers, record.timestamp)
    cut = replace(reason, message=f"{reason.message}; too large to be kept here, see the raw record")
    why = reason_headers(cut, origin)
    headers = [*record.headers, *why]
    if fits(record.key, None, headers):
        return Record(record.key, None, headers, record.timestamp)
    return Record(None, None, why, record.timestamp)


def labels(outcome: Outcome) -> tuple[str, str]:
    """The metric labels of an outcome: event type and outcome."""
    match outcome:
        case Emit(event_type=event_type):
            return event_type.value, "emitted"
        case Duplicate(event_type=event_type, conflict=conflict):
            return event_type.value, "conflict" if conflict else "duplicate"
        case DeadLettered():
            return "unknown", "dead_letter"


def count_by_labels(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], int]:
    """How many outcomes have each pair of labels."""
    counts: dict[tuple[str, str], int] = {}
    for outcome in outcomes:
        pair = labels(outcome)
        counts[pair] = counts.get(pair, 0) + 1
    return counts
