"""Encodes and decodes dead letters: the original record untouched, and headers after its own that say why.

Header names are those of KIP-1191 (dead-letter queues of share groups), plus our own stage and code. A reason never
repeats a value of the body: it may be read by people who must not see personal data.
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.headers import AnyHeaders, Headers, with_values

PREFIX = "__dlq.errors."
TOPIC = PREFIX + "topic"
PARTITION = PREFIX + "partition"
OFFSET = PREFIX + "offset"
GROUP = PREFIX + "group"
STAGE = PREFIX + "stage"
CODE = PREFIX + "code"
MESSAGE = PREFIX + "message"


class Stage(StrEnum):
    """Names the step that gave a record up."""

    ACCEPT = "accept"  # in the ingress: no usable call id, so no place in the raw log
    NORMALIZE = "normalize"  # in the processor


class Code(StrEnum):
    """Names the fault of a record; stable, for alerts and for replays by code."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    CALL_ID_UNUSABLE = "call_id_unusable"
    EVENT_UNKNOWN = "event_unknown"
    EVENT_MISMATCH = "event_mismatch"
    FIELD_MISSING = "field_missing"
    FIELD_WRONG_TYPE = "field_wrong_type"
    FIELD_INVALID = "field_invalid"
    NUMBER_INVALID = "number_invalid"
    TIMESTAMP_INVALID = "timestamp_invalid"
    KEY_MISMATCH = "key_mismatch"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Reason:
    """Says why a record is a dead letter; `message` is one sentence for an operator, without values of the body."""

    stage: Stage
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Names the raw record that was given up, by its place, and the group that gave it up."""

    topic: str
    partition: int
    offset: int
    group: str


def reason_headers(reason: Reason, origin: Origin | None) -> Headers:
    """The headers to append to the original ones; `origin` is None for a body that never reached the raw log."""
    headers: Headers = [
        (STAGE, reason.stage.value.encode()),
        (CODE, reason.code.value.encode()),
        (MESSAGE, reason.message.encode()),
    ]
    if origin is not None:
        headers += [
            (TOPIC, origin.topic.encode()),
            (PARTITION, str(origin.partition).encode()),
            (OFFSET, str(origin.offset).encode()),
            (GROUP, origin.group.encode()),
        ]
    return headers


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Holds what the headers of a dead letter say: its reason, its origin and the original headers."""

    reason: Reason
    origin: Origin | None
    original_headers: AnyHeaders

    @classmethod
    def decode(cls, headers: AnyHeaders) -> "DeadLetter":
        """Split a dead letter's headers.

        A record dead-lettered again after a replay keeps the reasons of both times; the last ones count.

        Raises:
            KeyError: the stage or the code is missing, or null.
            ValueError: a header is not UTF-8, or a number or an enum value is not one.
        """
        found = {name: value.decode() for name, value in with_values(headers).items() if name.startswith(PREFIX)}
        reason = Reason(Stage(found[STAGE]), Code(found[CODE]), found.get(MESSAGE, ""))
        origin = None
        if TOPIC in found:
            origin = Origin(
                topic=found[TOPIC],
                partition=int(found[PARTITION]),
                offset=int(found[OFFSET]),
                group=found[GROUP],
            )
        originals = [(name, value) for name, value in headers if not name.startswith(PREFIX)]
        return cls(reason=reason, origin=origin, original_headers=originals)
