"""The values that the parts of `calls` hand to each other. Nothing here decides or does anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ops.kit.claims import ClaimRow, Source
from processors.model import Verdict
from schemas.headers import AnyHeaders


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of any topic, with its place. `timestamp` is the broker's time of the raw record, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders

    @property
    def place(self) -> Source:
        """Partition and offset."""
        return Source(self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that the topics and the state table have of one call.

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
    raw: Sequence[Seen]
    outputs: Sequence[Seen]
    claims: Sequence[ClaimRow]
    conflicts: frozenset[Source]


class Standing(StrEnum):
    """What today's code makes of a webhook."""

    EVENT = "event"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    DEAD_LETTER = "dead letter"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One raw record of the call and what became of it.

    `owner`: the record that owns its key, None for dead letters. `events`, `dead_letters`: what the topics
    hold of it, one for each pass.
    """

    record: Seen
    verdict: Verdict
    standing: Standing
    owner: Source | None
    processed: bool
    events: tuple[Seen, ...]
    dead_letters: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A call: its webhooks in raw order, and outputs whose raw record is not in what was scanned."""

    found: Found
    webhooks: tuple[Webhook, ...]
    strays: tuple[Seen, ...]

    @property
    def unprocessed(self) -> tuple[Webhook, ...]:
        """Webhooks that the processors have not come to yet."""
        return tuple(webhook for webhook in self.webhooks if not webhook.processed)

    @property
    def known(self) -> bool:
        """Whether anything at all is known of the call."""
        return bool(self.webhooks or self.strays or self.found.claims)
