"""Decides what comes out of a batch: pure functions from verdicts and owners to outcomes.

A record *owns* its key when it is the first valid record of the log with that key. Owners are emitted, on every pass;
the others are duplicates, on every pass.
"""

from collections import Counter
from collections.abc import Iterable
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
    Owners,
    RawRecord,
    Record,
    Rejected,
)
from processors.size import fits
from schemas.dead_letter import Origin, Reason, reason_headers
from schemas.events import EventType
from schemas.identity import ClaimKey
from schemas.topics import TopicNames

_EMIT = {event_type: Emit(event_type) for event_type in EventType}  # one for all


def claims_of(batch: Batch, *, counted_until: int) -> list[Claim]:
    """Make one claim per key, with the key's smallest offset in the batch, sorted by key.

    The order keeps two processors that claim the same keys at once from waiting for each other in a circle.
    `counted_until`: records below this offset were counted in an earlier pass.
    """
    claims: dict[ClaimKey, Claim] = {}
    for verdict in batch.verdicts:
        if not isinstance(verdict, Normalized):
            continue
        key, offset = verdict.claim_key, verdict.offset
        new = 1 if offset >= counted_until else 0
        known = claims.get(key)
        claims[key] = (
            Claim(key, offset, verdict.timestamp_ms, verdict.content_hash, new)
            if known is None
            else Claim(key, known.offset, known.time_ms, known.content_hash, known.records + new)
        )
    return sorted(claims.values())  # keys differ, so nothing behind them is compared


def decide(batch: Batch, owners: Owners, *, topics: TopicNames, group: str) -> Decision:
    """Turn each record into an outcome; `owners` has every key that the batch claims."""
    decision = Decision()
    topic_of = {event_type: topics.of(event_type.topic) for event_type in EventType}
    for verdict in batch.verdicts:
        if isinstance(verdict, Rejected):
            decision.outcomes.append(DeadLettered(verdict.reason))
            origin = Origin(topics.raw, batch.partition, verdict.offset, group)
            decision.outputs[topics.dead_letter].append(_dead_letter(verdict.record, verdict.reason, origin))
            continue
        event_type = verdict.event_type
        partition, offset, content_hash = owners[verdict.claim_key]
        if offset == verdict.offset and partition == batch.partition:
            decision.outcomes.append(_EMIT[event_type])
            decision.outputs[topic_of[event_type]].append(verdict)
        else:
            conflict = content_hash != verdict.content_hash
            decision.outcomes.append(Duplicate(event_type, conflict))
            if conflict:
                decision.conflicts.append(Conflict(verdict.claim_key, verdict.offset, verdict.timestamp_ms))
    return decision


def _dead_letter(record: RawRecord, reason: Reason, origin: Origin) -> Record:
    """Keep the raw record and the reason; of one that was written compressed and fits nowhere, what fits."""
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
    """Label an outcome for metrics: event type and outcome."""
    match outcome:
        case Emit(event_type=event_type):
            return event_type.value, "emitted"
        case Duplicate(event_type=event_type, conflict=conflict):
            return event_type.value, "conflict" if conflict else "duplicate"
        case DeadLettered():
            return "unknown", "dead_letter"


def count_by_labels(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], int]:
    """Count the outcomes that have each pair of labels."""
    counts: dict[tuple[str, str], int] = {}
    for outcome, count in Counter(outcomes).items():
        pair = labels(outcome)
        counts[pair] = counts.get(pair, 0) + count
    return counts
