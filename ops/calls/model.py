"""Models one call: what was read of it, and what became of its webhooks. Nothing here decides or does anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from ops.kit.claims import ClaimRow, Source
from processors.model import Normalized
from schemas.dead_letter import Reason
from schemas.headers import AnyHeaders


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """Holds one record of any topic, with its place. `timestamp` is the broker's time of the raw record, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: AnyHeaders = field(repr=False)

    @property
    def place(self) -> Source:
        return Source(self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class CallRecords:
    """Holds everything that the topics and the state table have of one call.

    `partition`: where the ingress puts the call now; it may be in others, too, if a topic has grown. `partitions`: how
    many each topic has. By partition of the raw topic, `committed`: the group's offset, None if it has none, and
    `raw_ends`: where it ends. `outputs`: normalized events and dead letters. `conflicts`: that the state table has.
    """

    call_id: str
    raw_topic: str
    partition: int
    since_ms: int
    partitions: Mapping[str, int]
    committed: Mapping[int, int | None]
    raw_ends: Mapping[int, int]
    raw: Sequence[TopicRecord] = field(repr=False)
    outputs: Sequence[TopicRecord] = field(repr=False)
    claims: Sequence[ClaimRow]
    conflicts: frozenset[Source]


class WebhookVerdict(StrEnum):
    """Lists what today's code makes of a webhook."""

    EVENT = "event"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    DEAD_LETTER = "dead letter"


@dataclass(frozen=True, slots=True)
class CallOutput(TopicRecord):
    """Tells of an event on its topic (`type`, and its `fields` masked unless revealed), or of a dead letter (the rest).

    `source`: the raw record it was made from; None if that is of another log.
    """

    source: Source | None
    type: str | None
    fields: Mapping[str, object] | None
    stage: str | None
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class CallWebhook(TopicRecord):
    """Tells of one raw record of the call and what became of it.

    `owner`: the record that owns its key, None for dead letters. `events`, `dead_letters`: what the topics hold of it,
    one for each pass. `body`: only if revealed. `normalized`: its event, if it owns its key; None for dead letters.
    """

    received_at: str | None
    request_id: str | None
    endpoint: str | None
    auth_key_id: str | None
    verdict: WebhookVerdict
    event_type: str | None
    owner: Source | None
    conflict_noted: bool
    reason: Reason | None
    processed: bool
    events: Sequence[CallOutput]
    dead_letters: Sequence[CallOutput]
    body: str | None
    normalized: Normalized | None = field(repr=False)
    remark: str | None = None

    @property
    def event(self) -> Normalized | None:
        """The event as a pass of today's code would write it; None if the webhook owns nothing."""
        return self.normalized if self.verdict is WebhookVerdict.EVENT else None


@dataclass(frozen=True, slots=True)
class CallTimeline(CallRecords):
    """Tells a call: its webhooks in raw order, and outputs whose raw record is not in what was read."""

    also_in_json: ClassVar = ("known",)

    webhooks: Sequence[CallWebhook]
    strays: Sequence[CallOutput]
    summary: str = ""

    @property
    def known(self) -> bool:
        return bool(self.webhooks or self.strays or self.claims)

    @property
    def unprocessed(self) -> list[CallWebhook]:
        """Webhooks that the processors have not come to yet."""
        return [webhook for webhook in self.webhooks if not webhook.processed]
