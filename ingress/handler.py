"""Handles one webhook whose body has arrived: authenticate, accept, publish."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter

from multidict import CIMultiDictProxy, istr

from ingress.accept import Accepted, accept
from ingress.access_log import Outcome, RequestContext
from ingress.authenticate import Authenticated, Refused
from ingress.dialects import specification
from ingress.http import problems
from ingress.http.answers import Problem
from ingress.http.reading import storable_content_type
from ingress.ports import OutgoingRecord, Publisher, Tracer, record_of, topic_of
from runtime.errors import PublishError, SpoolFullError
from schemas.events import ENDPOINTS
from schemas.headers import Headers, encode_raw, valid_traceparent
from schemas.topics import TopicNames

_SIGNATURE = istr(specification.SIGNATURE_HEADER)
_TRACEPARENT = istr("traceparent")
_AUTHORIZATION = istr("Authorization")
_CONTENT_TYPE = istr("Content-Type")


class WebhookHandler:
    """Finds who sent a webhook and where it belongs, and makes it durable."""

    def __init__(
        self,
        *,
        authenticator: specification.Authenticator,
        publisher: Publisher,
        topics: TopicNames,
        max_in_flight: int,
        tracer: Tracer | None = None,
    ) -> None:
        """`max_in_flight` webhooks may be published at once."""
        self._authenticator = authenticator
        self._publisher = publisher
        self._topics = topics
        self._max_in_flight = max_in_flight
        self._tracer = tracer
        self._publishing = 0

    def use(self, authenticator: specification.Authenticator) -> None:
        """Judge by these credentials from now on: bodies that have not yet arrived completely, too."""
        self._authenticator = authenticator

    async def take(self, headers: CIMultiDictProxy[str], body: bytes, context: RequestContext) -> Outcome:
        """Return what was accepted, once its record is durable, or why it was not."""
        judged = self._judge(headers, body, context)
        if isinstance(judged, Problem):
            return judged
        accepted, record = judged
        self._publishing += 1
        try:
            await self._publisher.publish(record)
        except SpoolFullError:
            return problems.SPOOL_FULL
        except PublishError:  # the publisher reports the cause, once, not once per webhook
            return problems.NOT_STORED
        finally:
            self._publishing -= 1
        return accepted

    def _judge(
        self, headers: CIMultiDictProxy[str], body: bytes, context: RequestContext
    ) -> tuple[Accepted, OutgoingRecord] | Problem:
        """Find who sent it, and where it belongs."""
        if self._publishing >= self._max_in_flight:
            return problems.OVERLOADED
        signatures = headers.getall(_SIGNATURE, ())
        sender = self._authenticator.authenticate(signatures, headers.getall(_AUTHORIZATION, ()), body)
        if isinstance(sender, Refused):
            return problems.unauthenticated(sender.code, sender.detail)
        context.key_id = sender.key_id
        accepted = accept(ENDPOINTS[context.endpoint], body)
        traceparent = _traceparent(headers)
        if self._tracer is not None:
            traceparent = self._traced(self._tracer, traceparent, accepted, body, context)
        stored = _raw_headers(headers, context, sender, traceparent)
        return accepted, record_of(accepted, body, stored, self._topics)

    def _traced(
        self, tracer: Tracer, parent: str | None, accepted: Accepted, body: bytes, context: RequestContext
    ) -> str | None:
        """Begin a trace; returns the record's traceparent: our own when this webhook is traced, else what it brought.

        Only here, where its sender is known: strangers can have nothing exported.
        """
        context.trace = tracer.begin(
            parent=parent,
            began_ns=time.time_ns() - int((perf_counter() - context.began) * 1e9),
            endpoint=context.endpoint,
            key_id=context.key_id or "",
            topic=topic_of(accepted, self._topics),
            body_bytes=len(body),
        )
        return parent if context.trace is None else context.trace.traceparent


def _traceparent(headers: CIMultiDictProxy[str]) -> str | None:
    """The traceparent that the request has, if it is valid."""
    found = headers.getall(_TRACEPARENT, ())
    return found[0] if len(found) == 1 and valid_traceparent(found[0]) else None


def _raw_headers(
    headers: CIMultiDictProxy[str], context: RequestContext, sender: Authenticated, traceparent: str | None
) -> Headers:
    return encode_raw(
        request_id=context.request_id,
        endpoint=context.endpoint,
        received_at=_rfc3339(time.time_ns() // 1_000_000),
        auth_scheme=sender.scheme,
        auth_key_id=sender.key_id,
        content_type=storable_content_type(headers[_CONTENT_TYPE]),
        signature=headers.get(_SIGNATURE),
        traceparent=traceparent,
    )


def _rfc3339(milliseconds: int) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{_date_and_time(seconds)}.{fraction:03}Z"


@lru_cache(maxsize=1)
def _date_and_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
