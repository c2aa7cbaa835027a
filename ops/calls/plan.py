"""Plans which events of a call to emit again: only its owners', as on every pass; nothing is claimed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ops.calls.model import CallTimeline, WebhookVerdict
from ops.calls.timeline import counted
from processors.model import Normalized
from schemas.placement import output_partition
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class ReplayedEvent:
    """Holds an event to emit again, where a pass would write it, and the raw record that it is made from."""

    topic: str
    partition: int
    raw_partition: int
    raw_offset: int
    type: str
    timestamp_ms: int
    event: Normalized = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallReplayPlan:
    """Plans the events of a call in raw order. `refusal`: why nothing may be emitted now; `notes`: what is left out."""

    call_id: str
    events: Sequence[ReplayedEvent]
    refusal: str | None
    notes: Sequence[str]


def plan_replay(timeline: CallTimeline, names: TopicNames) -> CallReplayPlan:
    """Plan to emit what is claimed; an event that nobody has claimed is left to the processors."""
    claimed = {(claim.partition, claim.offset) for claim in timeline.claims}
    counts = timeline.partitions
    owners = [webhook for webhook in timeline.webhooks if webhook.event is not None]
    events = [
        ReplayedEvent(
            topic,
            output_partition(webhook.partition, counts[topic]),
            webhook.partition,
            webhook.offset,
            event.event_type.value,
            event.timestamp_ms,
            event,
        )
        for webhook in owners
        if (event := webhook.event) is not None and webhook.place in claimed
        for topic in [names.of(event.event_type.topic)]
    ]
    notes = tuple(_notes(timeline, len(owners) - len(events)))
    return CallReplayPlan(timeline.call_id, events, _refusal(timeline), notes)


def _refusal(timeline: CallTimeline) -> str | None:
    waiting = timeline.unprocessed
    if not waiting:
        return None
    partition, offset = waiting[0].place
    committed = timeline.committed.get(partition)
    where = "nothing" if committed is None else f"offset {committed}"
    return (
        f"not processed yet: {len(waiting)} of the call's {counted(len(timeline.webhooks), 'webhook')}, from raw "
        f"offset {offset} of partition {partition} on; the group has committed {where}; the events will come by "
        "themselves"
    )


def _notes(timeline: CallTimeline, unclaimed: int) -> Iterator[str]:
    if unclaimed:
        yield f"{counted(unclaimed, 'valid webhook')} without a claim: only a rewind makes events of that"
    read = {webhook.place for webhook in timeline.webhooks}
    gone = sum((claim.partition, claim.offset) not in read for claim in timeline.claims)
    if gone:
        yield f"{counted(gone, 'claim')} with an owner older than what was read (--since), or removed by retention"
    rejected = sum(
        webhook.verdict is WebhookVerdict.DEAD_LETTER and bool(webhook.events) for webhook in timeline.webhooks
    )
    if rejected:
        yield f"{counted(rejected, 'event')} of webhooks that today's code rejects: not emitted again"
