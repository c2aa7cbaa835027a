"""Registers the topics with their settings: the one source for creation, deployment files and tests.

Partition count is the same everywhere: an event goes to the partition its raw record came from, so no second hash is
needed and a call's order holds. Partitions never grow (a key would move); topics under another prefix do that. What
holds when somebody adds some all the same: schemas.placement.
"""

from dataclasses import dataclass

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
DEFAULT_PARTITIONS = 12
# The largest body (see MAX_BODY_BYTES) with key, headers and reason headers around it.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
# What comes out of a raw record: the same bytes, and headers of ours. Whatever fits into raw fits on, so that no
# record, whoever wrote it, can stop its partition; what a compressed batch hides is cut (processors.decide).
MAX_OUTPUT_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
# What a record may add around the body: ids, a signature, a content type, reason headers; each is bounded.
MAX_BODY_BYTES = MAX_MESSAGE_BYTES - 64 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """Describes a topic as it must be on the broker; `name` is without prefix."""

    name: str
    config: dict[str, str]
    purpose: str
    partitions: int = DEFAULT_PARTITIONS

    @property
    def short_name(self) -> str:
        """`ringover.dead-letter.v1` is `dead-letter` to an operator."""
        return self.name.split(".")[1]


# Batches stay as they were written. Any codec is read; one that a topic or the broker sets lets every broker compress
# everything anew, and what it makes larger than `max.message.bytes` is refused.
AS_PRODUCED = {"compression.type": "producer"}
_COMMON = AS_PRODUCED | {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * DAY_MS),
    "max.message.bytes": str(MAX_OUTPUT_BYTES),
}

RAW = Topic(
    name="ringover.raw.v1",
    # The broker's clock orders the log: "rewind to 14:05" means "received at 14:05".
    config=_COMMON | {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_MESSAGE_BYTES)},
    purpose="every authenticated webhook body, verbatim: the truth",
)
CALL = Topic(name="ringover.call.v1", config=_COMMON, purpose="normalized call.started and call.ended")
RECORDING = Topic(
    name="ringover.recording.v1",
    config=_COMMON,
    purpose="normalized call.recording_ready (transcripts are personal data: own access rights)",
)
DEAD_LETTER = Topic(
    name="ringover.dead-letter.v1",
    config=_COMMON,
    purpose="what could not be accepted or normalized: original record and reason",
)

OFFSET = Topic(
    name="ringover.offset.v1",
    # The last record of a key counts. Small segments and a quick cleaner keep what a takeover may have to read small;
    # transaction markers go with `delete.retention.ms`, and there is one for each batch of the processors.
    config=AS_PRODUCED
    | {
        "cleanup.policy": "compact",
        "segment.ms": str(HOUR_MS),
        "segment.bytes": str(16 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.1",
        "delete.retention.ms": str(HOUR_MS),
        "message.timestamp.type": "LogAppendTime",
    },
    purpose="how far each group has processed each partition, written with the events",
)

EVENT_TOPICS = (CALL, RECORDING)
OUTPUTS = (*EVENT_TOPICS, DEAD_LETTER)  # what becomes of raw records
TOPICS: tuple[Topic, ...] = (RAW, *OUTPUTS, OFFSET)


def topic_named(name: str) -> Topic | None:
    """The registry's topic behind a full name, whatever the prefix; None if it is none of ours."""
    return next((topic for topic in TOPICS if name.endswith(topic.name)), None)


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Gives the full topic names of one environment: `prefix` (KAFKA_TOPIC_PREFIX) isolates tests and environments."""

    prefix: str = ""

    def of(self, topic: Topic) -> str:
        """The full name of `topic`."""
        return f"{self.prefix}{topic.name}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that may hold what became of a raw record: the events' topics, and dead letters last."""
        return tuple(map(self.of, OUTPUTS))

    @property
    def raw(self) -> str:
        """Raw records."""
        return self.of(RAW)

    @property
    def call(self) -> str:
        """Normalized call events."""
        return self.of(CALL)

    @property
    def recording(self) -> str:
        """Normalized recording events."""
        return self.of(RECORDING)

    @property
    def dead_letter(self) -> str:
        """Dead letters."""
        return self.of(DEAD_LETTER)

    @property
    def offset(self) -> str:
        """The processors' own record of how far they are."""
        return self.of(OFFSET)
