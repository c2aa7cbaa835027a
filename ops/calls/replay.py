"""Which events of a call to emit again: pure. Only owners, as on every pass; nothing is claimed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.calls.model import Standing, Story, Webhook
from ops.calls.story import counted, event_of
from processors.model import Normalized, Record
from schemas.topics import TopicNames


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The owners of a call in raw order. `refusal`: why nothing may be emitted now; `notes`: what is left out."""

    call_id: str
    partition: int
    owners: tuple[Webhook, ...]
    refusal: str | None
    notes: tuple[str, ...]

    def outputs(self, names: TopicNames) -> list[tuple[str, Record]]:
        """What to write, in raw order: topic and record."""
        return [
            (names.of_event(owner.verdict.event_type), event)
            for owner in self.owners
            if isinstance(owner.verdict, Normalized) and (event := event_of(owner)) is not None
        ]


def plan_replay(story: Story) -> ReplayPlan:
    """The plan; an event that nobody has claimed is left to the processors."""
    claimed = {(claim.partition, claim.offset) for claim in story.found.claims}
    emitted = tuple(webhook for webhook in story.webhooks if webhook.standing is Standing.EVENT)
    owners = tuple(webhook for webhook in emitted if (webhook.record.partition, webhook.record.offset) in claimed)
    return ReplayPlan(
        call_id=story.found.call_id,
        partition=story.found.partition,
        owners=owners,
        refusal=_refusal(story),
        notes=tuple(_notes(story, len(emitted) - len(owners))),
    )


def _refusal(story: Story) -> str | None:
    waiting = story.unprocessed
    if not waiting:
        return None
    found = story.found
    where = "nothing" if found.committed is None else f"offset {found.committed}"
    return (
        f"not processed yet: {len(waiting)} of the call's {counted(len(story.webhooks), 'webhook')}, from raw offset "
        f"{waiting[0].record.offset} of partition {found.partition} on; the group has committed {where}; "
        "the events will come by themselves"
    )


def _notes(story: Story, unclaimed: int) -> list[str]:
    notes = []
    if unclaimed:
        notes.append(f"{counted(unclaimed, 'valid webhook')} without a claim: only a rewind makes events of that")
    read = {webhook.record.offset for webhook in story.webhooks}
    gone = sum(claim.offset not in read for claim in story.found.claims)
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
        "partition": plan.partition,
        "executed": places is not None,
        "refusal": plan.refusal,
        "notes": plan.notes,
        "events": [
            {
                "topic": topic,
                "raw_offset": owner.record.offset,
                "type": owner.verdict.event_type.value if isinstance(owner.verdict, Normalized) else None,
                "timestamp_ms": event.timestamp_ms,
                "offset": None if places is None else places[index],
            }
            for index, (owner, (topic, event)) in enumerate(zip(plan.owners, outputs, strict=True))
        ],
    }
