"""Answers requests: takes head and body in, has the webhook handled, and writes the answer."""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from aiohttp import HttpVersion10, hdrs, web
from multidict import istr

from ingress.access_log import OTHER, AccessLog, Outcome, RequestContext, code_of
from ingress.addresses import EVERYBODY, AddressPolicy
from ingress.dialects import specification
from ingress.handler import WebhookHandler
from ingress.http import problems, reading
from ingress.http.answers import CLOSED, KEPT, Problem, SentAnswer, accepted_answer
from ingress.http.guard import Guard, guard_of
from ingress.http.loop_budget import LoopBudget
from ingress.metrics import IngressMetrics
from runtime.failures import report

_FORWARDED_FOR = istr("X-Forwarded-For")
# Bytes that are verified and parsed per iteration of the event loop, so that other connections are served: 1 MiB takes
# about 5 ms, for each secret and to parse.
_BYTES_PER_ITERATION = 1024 * 1024
_LEAST_BYTES = 16 * 1024  # that a webhook counts: the usual one takes 0.2 ms in all


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits what one request may take."""

    max_body_bytes: int
    timeout_seconds: float  # from its first byte to its last


class Exchanges:
    """Answers every request of a server."""

    def __init__(
        self,
        handler: WebhookHandler,
        *,
        limits: RequestLimits,
        metrics: IngressMetrics,
        addresses: AddressPolicy = EVERYBODY,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._addresses = addresses
        self._access_log = AccessLog(metrics)
        self._budget = LoopBudget(_BYTES_PER_ITERATION)
        self._in_flight = 0
        self._leaving = False
        self._draining: asyncio.Event | None = None
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def answer(self, request: web.BaseRequest) -> SentAnswer:
        """Answer one request; the one place where a fault of ours becomes a 500."""
        guard = guard_of(request)
        if guard is None or not guard.begins():
            return CLOSED  # nobody waits for it any more
        context = RequestContext(reading.request_id(request), _endpoint(request), perf_counter())
        self._in_flight += 1
        outcome: Outcome
        try:
            body: bytes | Problem | None = self._refusal_of_head(request, context)
            if body is None:
                body = reading.arrived_body(request, guard, max_body_bytes=self._limits.max_body_bytes)
                if body is None or not self._budget.take(_work(body)):
                    body = await self._awaited(request, guard, body)
            outcome = body if isinstance(body, Problem) else await self._handler.take(request.headers, body, context)
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
        return self._answered(outcome, request, guard, context)

    def refusal(self, problem: Problem) -> bytes:
        """Write the answer to what never became a request; the connection is closed after it."""
        context = RequestContext(reading.new_request_id(), OTHER, perf_counter())
        self._access_log.answered(context, problem, problem.status.value, 0.0)
        return problem.answer(context.request_id).wire(keep_alive=False)

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

    async def _awaited(
        self, request: web.BaseRequest, guard: Guard, arrived: bytes | Problem | None
    ) -> bytes | Problem:
        """Wait for the body unless it arrived, and for the loop's budget."""
        body = arrived
        if body is None:
            body = await reading.read_body(
                request,
                guard,
                max_body_bytes=self._limits.max_body_bytes,
                timeout_seconds=self._limits.timeout_seconds,
            )
            if self._budget.take(_work(body)):
                return body
        await self._budget.wait(_work(body))
        return body

    def _refusal_of_head(self, request: web.BaseRequest, context: RequestContext) -> Problem | None:
        addresses = self._addresses
        if addresses.allowed and not addresses.admits(request.remote, request.headers.getall(_FORWARDED_FOR, ())):
            return problems.ADDRESS_NOT_ALLOWED
        if context.endpoint == OTHER:
            return problems.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return problems.METHOD_NOT_ALLOWED
        return reading.refusal_of_head(request, max_body_bytes=self._limits.max_body_bytes)

    def _answered(
        self, outcome: Outcome, request: web.BaseRequest, guard: Guard, context: RequestContext
    ) -> SentAnswer:
        if isinstance(outcome, Problem):
            answer = outcome.answer(context.request_id)
        else:
            answer = accepted_answer(outcome, context.request_id)
        # An upgrade is declined, and the bytes behind it are of another protocol.
        closes = answer.close or self._leaving or not request.keep_alive or hdrs.UPGRADE in request.headers
        old, with_body = request.version == HttpVersion10, request.method != hdrs.METH_HEAD
        guard.answer(answer.wire(keep_alive=not closes, announced=old, with_body=with_body), closes=closes)
        self._access_log.answered(context, outcome, answer.status, perf_counter() - context.began)
        if context.trace is not None:
            context.trace.ended(answer.status, code_of(outcome))
        return CLOSED if closes else KEPT


def _work(body: bytes | Problem) -> int:
    """Count what a body takes of the loop's budget; senders time out by the thousand in one moment, too."""
    return _LEAST_BYTES if isinstance(body, Problem) else max(len(body), _LEAST_BYTES)


def _endpoint(request: web.BaseRequest) -> str:
    """Name the endpoint; a query is ignored, and a proxy may send an absolute URI."""
    slugs = specification.SLUG_OF_PATH
    return slugs.get(request.raw_path) or slugs.get(request.rel_url.raw_path) or OTHER
