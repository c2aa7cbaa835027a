"""Encodes and decodes the headers of raw records and of normalized events, lists of (name, UTF-8 bytes).

Normalized events follow the CloudEvents 1.0 Kafka binding, binary content mode (attributes as `ce_` headers, the data
as the value). Nothing here holds a wall-clock time of ours: a replay is byte-identical.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from schemas.events import EventType
from schemas.identity import SOURCE, EventId, IdempotencyKey

Headers: TypeAlias = list[tuple[str, bytes]]  # as we write them
# As any record may have them: Kafka allows null for a value, and one name several times, of which the last one counts.
AnyHeaders: TypeAlias = Sequence[tuple[str, bytes | None]]

REQUEST_ID = "request-id"
ENDPOINT = "endpoint"
RECEIVED_AT = "received-at"
AUTH_SCHEME = "auth-scheme"
AUTH_KEY_ID = "auth-key-id"
SIGNATURE = "signature"
CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"
FROM_NUMBER = "ce_fromnumber"
TO_NUMBER = "ce_tonumber"

# W3C Trace Context, version 00 and later ones that extend it.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(text: str) -> bool:
    """Whether `text` is a W3C traceparent header value."""
    return _TRACEPARENT.fullmatch(text) is not None


def is_sampled(traceparent: str) -> bool:
    """Whether a valid traceparent says that its sender records the trace."""
    return int(traceparent[53:55], 16) & 1 == 1


class RawHeaders(NamedTuple):
    """Holds what the ingress records about a webhook beside its body.

    `received_at` is RFC 3339 UTC; `auth_scheme` is `hmac` or `bearer`; `auth_key_id` names the secret or token that
    matched; `signature` is the header as received (None for bearer).
    """

    request_id: str
    endpoint: str
    received_at: str
    auth_scheme: str
    auth_key_id: str
    content_type: str
    signature: str | None = None
    traceparent: str | None = None

    def encode(self) -> Headers:
        """As Kafka headers, in a fixed order; absent ones are left out."""
        return encode_raw(**self._asdict())

    @classmethod
    def decode(cls, headers: AnyHeaders) -> "RawHeaders":
        """The inverse of `encode`.

        Raises:
            KeyError: a required header is missing, or null.
            UnicodeDecodeError: a header is not UTF-8.
        """
        found = {name: value.decode() for name, value in with_values(headers).items()}
        return cls(
            request_id=found[REQUEST_ID],
            endpoint=found[ENDPOINT],
            received_at=found[RECEIVED_AT],
            auth_scheme=found[AUTH_SCHEME],
            auth_key_id=found[AUTH_KEY_ID],
            signature=found.get(SIGNATURE),
            content_type=found[CONTENT_TYPE],
            traceparent=found.get(TRACEPARENT),
        )


def encode_raw(
    *,
    request_id: str,
    endpoint: str,
    received_at: str,
    auth_scheme: str,
    auth_key_id: str,
    content_type: str,
    signature: str | None,
    traceparent: str | None,
) -> Headers:
    """The headers of one raw record, see RawHeaders; a function of its own, since this is done for every webhook."""
    headers = [
        (REQUEST_ID, request_id.encode()),
        (ENDPOINT, endpoint.encode()),
        (RECEIVED_AT, received_at.encode()),
        (AUTH_SCHEME, auth_scheme.encode()),
        (AUTH_KEY_ID, auth_key_id.encode()),
    ]
    if signature is not None:
        headers.append((SIGNATURE, signature.encode()))
    headers.append((CONTENT_TYPE, content_type.encode()))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers


def header(headers: AnyHeaders, name: str) -> bytes | None:
    """The value of the last header called `name`; None if there is none, or it has no value."""
    found = None
    for candidate, value in headers:
        if candidate == name:
            found = value
    return found


def with_values(headers: AnyHeaders) -> dict[str, bytes]:
    """Each header's last value, without those that end with none."""
    return {name: value for name, value in dict(headers).items() if value is not None}


# Headers that are the same for every event of a type, encoded once.
_FIXED: dict[EventType, Headers] = {
    event_type: [
        ("ce_specversion", b"1.0"),
        ("ce_type", event_type.value.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_dataschema", event_type.dataschema.encode()),
        ("content-type", b"application/json"),
    ]
    for event_type in EventType
}


class EventHeaders(NamedTuple):
    """Holds the CloudEvents attributes of a normalized event.

    `subject` is the call id, `time` RFC 3339 UTC from the body, `source_offset` the `topic/partition/offset` of the
    raw record that owns the event. `from_number`, `to_number`: as received, where they have no E.164 form.
    """

    event_type: EventType
    event_id: EventId
    subject: str
    time: str
    idempotency_key: IdempotencyKey
    source_offset: str
    traceparent: bytes | None = None
    from_number: str | None = None
    to_number: str | None = None

    def encode(self) -> Headers:
        """As Kafka headers, in a fixed order."""
        return encode_event(**self._asdict())

    @classmethod
    def decode(cls, headers: AnyHeaders) -> "EventHeaders":
        """The inverse of `encode`.

        Raises:
            KeyError: a required header is missing, or null.
            ValueError: a header is not UTF-8 or the type is unknown.
        """
        found = with_values(headers)
        from_number, to_number = found.get(FROM_NUMBER), found.get(TO_NUMBER)
        return cls(
            event_type=EventType(found["ce_type"].decode()),
            event_id=EventId(found["ce_id"].decode()),
            subject=found["ce_subject"].decode(),
            time=found["ce_time"].decode(),
            idempotency_key=IdempotencyKey(found["ce_idempotencykey"].decode()),
            source_offset=found["ce_sourceoffset"].decode(),
            traceparent=found.get(TRACEPARENT),
            from_number=None if from_number is None else from_number.decode(),
            to_number=None if to_number is None else to_number.decode(),
        )


def encode_event(
    *,
    event_type: EventType,
    event_id: str,
    subject: str,
    time: str,
    idempotency_key: str,
    source_offset: str,
    traceparent: bytes | None,
    from_number: str | None,
    to_number: str | None,
) -> Headers:
    """The headers of one event, see EventHeaders; a function of its own, since this is done for every event."""
    headers = [
        *_FIXED[event_type],
        ("ce_id", event_id.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", time.encode()),
        ("ce_idempotencykey", idempotency_key.encode()),
        ("ce_sourceoffset", source_offset.encode()),
    ]
    if from_number is not None:
        headers.append((FROM_NUMBER, from_number.encode()))
    if to_number is not None:
        headers.append((TO_NUMBER, to_number.encode()))
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent))
    return headers
