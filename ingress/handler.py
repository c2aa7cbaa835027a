"""Takes one webhook from head to answer: refuse, read, authenticate, accept, publish, and only then 202."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter

from aiohttp import hdrs
from multidict import istr

from ingress.accept import Accepted, accept
from ingress.access_log import OTHER, AccessLog, Outcome, RequestContext, code_of
from ingress.addresses import EVERYBODY, AddressPolicy
from ingress.authenticate import Authenticated, Refused
from ingress.dialects import specification
from ingress.http import problems, reading
from ingress.http.answers import Answer, Problem, accepted_answer
from ingress.http.loop_budget import LoopBudget
from ingress.http.requests import Request
from ingress.metrics import IngressMetrics
from ingress.ports import OutgoingRecord, Publisher, Tracer, record_of, topic_of
from runtime.errors import PublishError, SpoolFullError
from runtime.failures import report
from schemas.events import ENDPOINTS
from schemas.headers import Headers, encode_raw, valid_traceparent
from schemas.topics import TopicNames

_SIGNATURE = istr(specification.SIGNATURE_HEADER)
_TRACEPARENT = istr("traceparent")
_FORWARDED_FOR = istr("X-Forwarded-For")
# Bytes that are verified and parsed per iteration of the event loop, so that other connections are served: 1 MiB takes
# about 5 ms, for each secret and to parse.
_BYTES_PER_ITERATION = 2 * 1024 * 1024
_LEAST_BYTES = 32 * 1024  # that a webhook counts: the usual one takes 0.2 ms in all


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits what one request, and all of them together, may take."""

    max_body_bytes: int
    request_timeout_seconds: float
    max_in_flight: int


class WebhookHandler:
    """Answers every request."""

    def __init__(
        self,
        *,
        authenticator: specification.Authenticator,
        publisher: Publisher,
        topics: TopicNames,
        limits: Limits,
        metrics: IngressMetrics,
        addresses: AddressPolicy = EVERYBODY,
        tracer: Tracer | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._addresses = addresses
        self._publisher = publisher
        self._topics = topics
        self._tracer = tracer
        self._limits = limits
        self._access_log = AccessLog(metrics)
        self._budget = LoopBudget(_BYTES_PER_ITERATION)
        self._in_flight = 0
        self._publishing = 0
        self._leaving = False
        self._draining: asyncio.Event | None = None
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def answer(self, request: Request) -> Answer:
        """Answer one request; the one place where a fault of ours becomes a 500."""
        slugs = specification.SLUG_OF_PATH
        # A query is ignored, and a proxy may send an absolute URI.
        endpoint = slugs.get(request.target) or slugs.get(request.path) or OTHER
        context = RequestContext(reading.request_id(request), endpoint, perf_counter())
        self._in_flight += 1
        try:
            body = self._arrived(request, context)
            if body is None:
                body = await self._awaited(request)
            judged = body if isinstance(body, Problem) else self._judge(request, body, context)
            outcome = judged if isinstance(judged, Problem) else await self._stored(*judged)
        except Exception as error:  # noqa: BLE001 - one webhook's
            report("webhook.failed", error, request_id=context.request_id, endpoint=context.endpoint)
            outcome = problems.INTERNAL
        except asyncio.CancelledError:
            if context.trace is not None:
                context.trace.ended(None, "cancelled")
            raise
        finally:
            self._in_flight -= 1
            if self._draining is not None and not self._in_flight:
                self._draining.set()
        return self._answered(outcome, context)

    def unreadable(self, problem: Problem) -> Answer:
        """Answer what the HTTP parser could not make a request of."""
        return self._answered(problem, RequestContext(reading.new_request_id(), OTHER, perf_counter()))

    def use(self, authenticator: specification.Authenticator) -> None:
        """Judge by these credentials from now on: bodies that have not yet arrived completely, too."""
        self._authenticator = authenticator

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def leave(self) -> None:
        """Close each connection after its answer, from now on."""
        self._leaving = True

    async def drained(self) -> None:
        """Return once nothing is in flight."""
        self._draining = asyncio.Event()
        if self._in_flight:
            await self._draining.wait()

    def _arrived(self, request: Request, context: RequestContext) -> bytes | Problem | None:
        """The body, or why there is none; None while it is not complete, or the loop's budget is used up."""
        refusal = self._refusal_of_head(request, context)
        if refusal is not None:
            return refusal
        body = request.content
        if not body.is_eof() or not self._budget.take(max(body.total_bytes, _LEAST_BYTES)):
            return None
        return reading.arrived_body(request, max_body_bytes=self._limits.max_body_bytes)

    async def _awaited(self, request: Request) -> bytes | Problem:
        """Wait for the body, or why there is none, and for the loop's budget."""
        body = reading.arrived_body(request, max_body_bytes=self._limits.max_body_bytes)
        if body is None:
            body = await reading.read_body(
                request,
                max_body_bytes=self._limits.max_body_bytes,
                timeout_seconds=self._limits.request_timeout_seconds,
            )
        # Bodies that end, and senders that time out, by the thousand in one moment.
        work = max(len(body), _LEAST_BYTES) if isinstance(body, bytes) else _LEAST_BYTES
        if not self._budget.take(work):
            await self._budget.wait(work)
        return body

    def _refusal_of_head(self, request: Request, context: RequestContext) -> Problem | None:
        addresses = self._addresses
        if addresses.allowed and not addresses.admits(request.peer.address, request.headers.getall(_FORWARDED_FOR, ())):
            return problems.ADDRESS_NOT_ALLOWED
        if context.endpoint == OTHER:
            return problems.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return problems.METHOD_NOT_ALLOWED
        return reading.refusal_of_head(request, max_body_bytes=self._limits.max_body_bytes)

    def _judge(
        self, request: Request, body: bytes, context: RequestContext
    ) -> tuple[Accepted, OutgoingRecord] | Problem:
        """Find who sent it, and where it belongs."""
        if self._publishing >= self._limits.max_in_flight:
            return problems.OVERLOADED
        headers = request.headers
        signatures = headers.getall(_SIGNATURE, ())
        sender = self._authenticator.authenticate(signatures, headers.getall(hdrs.AUTHORIZATION, ()), body)
        if isinstance(sender, Refused):
            return problems.unauthenticated(sender.code, sender.detail)
        context.key_id = sender.key_id
        accepted = accept(ENDPOINTS[context.endpoint], body)
        traceparent = _traceparent(request)
        if self._tracer is not None:
            traceparent = self._traced(self._tracer, traceparent, accepted, body, context)
        stored = _raw_headers(request, context, sender, traceparent)
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

    async def _stored(self, accepted: Accepted, record: OutgoingRecord) -> Outcome:
        """Return what was accepted, once its record is durable."""
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

    def _answered(self, outcome: Outcome, context: RequestContext) -> Answer:
        if isinstance(outcome, Problem):
            answer = outcome.answer(context.request_id)
        else:
            answer = accepted_answer(outcome, context.request_id)
        if self._leaving:
            answer.close = True
        self._access_log.answered(context, outcome, answer.status, perf_counter() - context.began)
        if context.trace is not None:
            context.trace.ended(answer.status, code_of(outcome))
        return answer


def _traceparent(request: Request) -> str | None:
    """The traceparent that the request has, if it is valid."""
    found = request.headers.getall(_TRACEPARENT, ())
    return found[0] if len(found) == 1 and valid_traceparent(found[0]) else None


def _raw_headers(request: Request, context: RequestContext, sender: Authenticated, traceparent: str | None) -> Headers:
    headers = request.headers
    return encode_raw(
        request_id=context.request_id,
        endpoint=context.endpoint,
        received_at=_rfc3339(time.time_ns() // 1_000_000),
        auth_scheme=sender.scheme,
        auth_key_id=sender.key_id,
        content_type=reading.storable_content_type(headers[hdrs.CONTENT_TYPE]),
        signature=headers.get(_SIGNATURE),
        traceparent=traceparent,
    )


def _rfc3339(milliseconds: int) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{_date_and_time(seconds)}.{fraction:03}Z"


@lru_cache(maxsize=1)
def _date_and_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
