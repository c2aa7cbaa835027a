"""The port through which the ingress makes a webhook durable, and what goes through it."""

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from ingress.accept import Accepted, ToRaw
from schemas.dead_letter import reason_headers
from schemas.headers import Headers
from schemas.topics import TopicNames


class Record(NamedTuple):
    """One Kafka record. Records of one topic and key keep the order in which they were published one after another."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


class Publisher(Protocol):
    """Stores records durably."""

    def publish(self, record: Record) -> Awaitable[None]:
        """Await it: it returns once every in-sync replica has the record.

        Raises:
            PublishError: it was not acknowledged in time. It may still be stored later: the sender repeats the
                webhook, and deduplication removes the second one.
        """


def topic_of(accepted: Accepted, topics: TopicNames) -> str:
    """Where `accepted` is stored."""
    return topics.raw if isinstance(accepted, ToRaw) else topics.dead_letter


def record_of(accepted: Accepted, body: bytes, headers: Headers, topics: TopicNames) -> Record:
    """The record that stores `body`, verbatim, where `accepted` says."""
    if isinstance(accepted, ToRaw):
        return Record(topics.raw, accepted.call_id.encode(), body, headers)
    # Without a call id there is no key; nothing orders such a body.
    return Record(topics.dead_letter, None, body, headers + reason_headers(accepted.reason, None))
