"""Declares the ports of the handler, which makes a webhook durable and has it traced, and what goes through them."""

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from ingress.accept import Accepted, ToRaw
from schemas.dead_letter import reason_headers
from schemas.headers import Headers
from schemas.topics import TopicNames


class OutgoingRecord(NamedTuple):
    """Holds one Kafka record; those of one topic and key keep the order in which they were published one by one."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


class Publisher(Protocol):
    """Makes records durable."""

    def publish(self, record: OutgoingRecord) -> Awaitable[None]:
        """Await it: it returns once every in-sync replica has the record.

        Raises:
            PublishError: it was not acknowledged in time. It may still be stored later: the sender repeats the
                webhook, and deduplication removes the second one.
        """


class Trace(Protocol):
    """Follows one webhook that is traced, until its answer."""

    @property
    def trace_id(self) -> str:
        """In hex, for the log."""

    @property
    def traceparent(self) -> str:
        """For the record: whoever processes it goes on below its publication."""

    def ended(self, status: int | None, code: str) -> None:
        """Note the answer; `status` is None when nobody waits for it any more."""


class Tracer(Protocol):
    """Decides which webhooks are traced."""

    def begin(
        self, *, parent: str | None, began_ns: int, endpoint: str, key_id: str, topic: str, body_bytes: int
    ) -> Trace | None:
        """Trace a webhook that is about to be published, or None.

        `parent` is its traceparent, if it is valid; `began_ns` when its head had arrived, since the epoch.
        """


def topic_of(accepted: Accepted, topics: TopicNames) -> str:
    """The topic that stores `accepted`."""
    return topics.raw if isinstance(accepted, ToRaw) else topics.dead_letter


def record_of(accepted: Accepted, body: bytes, headers: Headers, topics: TopicNames) -> OutgoingRecord:
    """The record that stores `body`, verbatim, where `accepted` says."""
    if isinstance(accepted, ToRaw):
        return OutgoingRecord(topics.raw, accepted.call_id.encode(), body, headers)
    # Without a call id there is no key; nothing orders such a body.
    return OutgoingRecord(topics.dead_letter, None, body, headers + reason_headers(accepted.reason, None))
