"""Which events of a call to emit again: pure. Only owners, as on every pass; nothing is claimed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ops.calls.model import Standing, Story, Webhook
from ops.calls.timeline import counted, event_of
from processors.model import Normalized, Record
from schemas.placement import output_partition
from schemas.topics import TopicNames


class Outgoing(NamedTuple):
    """An event to write, and where."""

    topic: str
    partition: int
    record: Record


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The owners of a call in raw order. `refusal`: why nothing may be emitted now; `notes`: what is left out.

    `partitions`: how many each topic has.
    """

    call_id: str
    partitions: Mapping[str, int]
    owners: tuple[Webhook, ...]
    refusal: str | None
    notes: tuple[str, ...]

    def outputs(self, names: TopicNames) -> list[Outgoing]:
        """Returns the records to write, in raw order, each with the topic and partition that a pass would choose."""
        return [
            Outgoing(topic, output_partition(owner.record.partition, self.partitions[topic]), event)
            for owner in self.owners
            if isinstance(owner.verdict, Normalized) and (event := event_of(owner)) is not None
            for topic in [names.of(owner.verdict.event_type.topic)]
        ]


def plan_replay(story: Story) -> ReplayPlan:
    """The plan; an event that nobody has claimed is left to the processors."""
    claimed = {(claim.partition, claim.offset) for claim in story.found.claims}
    emitted = tuple(webhook for webhook in story.webhooks if webhook.standing is Standing.EVENT)
    owners = tuple(webhook for webhook in emitted if (webhook.record.partition, webhook.record.offset) in claimed)
    return ReplayPlan(
        call_id=story.found.call_id,
        partitions=story.found.partitions,
        owners=owners,
        refusal=_refusal(story),
        notes=tuple(_notes(story, len(emitted) - len(owners))),
    )


def _refusal(story: Story) -> str | None:
    waiting = story.unprocessed
    if not waiting:
        return None
    found = story.found
    place = waiting[0].record.place
    committed = found.committed.get(place.partition)
    where = "nothing" if committed is None else f"offset {committed}"
    return (
        f"not processed yet: {len(waiting)} of the call's {counted(len(story.webhooks), 'webhook')}, from raw offset "
        f"{place.offset} of partition {place.partition} on; the group has committed {where}; "
        "the events will come by themselves"
    )


def _notes(story: Story, unclaimed: int) -> list[str]:
    notes = []
    if unclaimed:
        notes.append(f"{counted(unclaimed, 'valid webhook')} without a claim: only a rewind makes events of that")
    read = {webhook.record.place for webhook in story.webhooks}
    gone = sum((claim.partition, claim.offset) not in read for claim in story.found.claims)
    if gone:
        notes.append(
            f"{counted(gone, 'claim')} with an owner older than what was read (--since), or removed by retention"
        )
    rejected = sum(webhook.standing is Standing.DEAD_LETTER and bool(webhook.events) for webhook in story.webhooks)
    if rejected:
        notes.append(f"{counted(rejected, 'event')} of webhooks that today's code rejects: not emitted again")
    return notes


def as_json(plan: ReplayPlan, names: TopicNames, places: Sequence[int] | None) -> Mapping[str, object]:
    """For `-o json`; `places`: the offsets written to, None when nothing was."""
    outputs = plan.outputs(names)
    return {
        "call_id": plan.call_id,
        "executed": places is not None,
        "refusal": plan.refusal,
        "notes": plan.notes,
        "events": [
            {
                "topic": output.topic,
                "partition": output.partition,
                "raw_partition": owner.record.partition,
                "raw_offset": owner.record.offset,
                "type": owner.verdict.event_type.value if isinstance(owner.verdict, Normalized) else None,
                "timestamp_ms": output.record.timestamp_ms,
                "offset": None if places is None else places[index],
            }
            for index, (owner, output) in enumerate(zip(plan.owners, outputs, strict=True))
        ],
    }
