"""Counts and logs each request: metrics, and one wide log line. Never a body, a number or a secret."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ingress.accept import DEAD_LETTER_CODES, Accepted, ToDeadLetter, ToRaw
from ingress.dialects import specification
from ingress.http import problems
from ingress.http.answers import Problem
from ingress.metrics import IngressMetrics
from ingress.ports import Trace
from runtime.fast_metrics import Count
from runtime.logs import logger
from schemas.events import ENDPOINTS

OTHER = "other"  # the endpoint, in metrics and logs, of requests to none of ours
# Of answers with one code; the rest is counted in one line, so that a flood costs no time and hides nothing else.
LINES_PER_SECOND = 10


@dataclass(slots=True)
class RequestContext:
    """Holds what is known of one request, filled in on the way to its answer. `began` is of `perf_counter`."""

    request_id: str
    endpoint: str
    began: float
    key_id: str | None = None
    trace: Trace | None = None


#: What became of a request: where the webhook is durable, or why it is not.
Outcome: TypeAlias = Accepted | Problem


def code_of(outcome: Outcome) -> str:
    """Name an outcome in one word: a problem's or a dead letter's code, or `accepted`."""
    if isinstance(outcome, Problem):
        return outcome.code
    return "accepted" if isinstance(outcome, ToRaw) else outcome.reason.code.value


class AccessLog:
    """Counts and logs answers. Label values come from enums and constants only."""

    def __init__(self, metrics: IngressMetrics) -> None:
        self._metrics = metrics
        # Bound once: looking labels up, or binding a logger, costs more than counting.
        self._seconds_to_accept = {name: metrics.duration.labels(name, "2xx") for name in ENDPOINTS}
        self._accepted = {name: metrics.requests.labels(name, 202) for name in ENDPOINTS}
        _begin(metrics)
        self._authenticated: dict[str, Count] = {}
        self._log = logger(__name__).bind()
        self._logs_all = self._log.is_enabled_for(logging.DEBUG)
        self._this_second: Counter[str] = Counter()

    def answered(self, context: RequestContext, outcome: Outcome, status: int, seconds: float) -> None:
        """Note one answer; a webhook that went its normal way is logged at debug only."""
        if context.key_id is not None:
            self._credential(context.key_id).inc()
        if isinstance(outcome, ToRaw):
            self._seconds_to_accept[context.endpoint].observe(seconds)
            self._accepted[context.endpoint].inc()
            if self._logs_all:
                self._line(self._log.debug, context, "accepted", status, seconds, call_id=outcome.call_id)
            return
        code = self._unusual(context, outcome, status, seconds)
        if self._may_log(code):
            self._line(self._log.info, context, code, status, seconds)

    def _unusual(self, context: RequestContext, outcome: ToDeadLetter | Problem, status: int, seconds: float) -> str:
        """Count what did not go its normal way; returns its code."""
        code = code_of(outcome)
        if isinstance(outcome, Problem):
            self._metrics.duration.labels(context.endpoint, f"{status // 100}xx").observe(seconds)
            self._metrics.requests.labels(context.endpoint, status).inc()
            self._metrics.refused.labels(code).inc()
        else:
            self._seconds_to_accept[context.endpoint].observe(seconds)
            self._accepted[context.endpoint].inc()
            self._metrics.dead_letters.labels(code).inc()
        return code

    def _line(
        self,
        write: Callable[..., None],
        context: RequestContext,
        code: str,
        status: int,
        seconds: float,
        *,
        call_id: str | None = None,
    ) -> None:
        write(
            "webhook.answered",
            request_id=context.request_id,
            endpoint=context.endpoint,
            status=status,
            code=code,
            key_id=context.key_id,
            call_id=call_id,
            duration_ms=round(seconds * 1000, 2),
            **({} if context.trace is None else {"trace_id": context.trace.trace_id}),
        )

    def _credential(self, key_id: str) -> Count:
        counter = self._authenticated.get(key_id)
        if counter is None:
            counter = self._authenticated[key_id] = self._metrics.authenticated.labels(key_id)
        return counter

    def _may_log(self, code: str) -> bool:
        if not self._this_second:
            asyncio.get_running_loop().call_later(1, self._end_second)
        self._this_second[code] += 1
        return self._this_second[code] <= LINES_PER_SECOND

    def _end_second(self) -> None:
        for code, count in self._this_second.items():
            if count > LINES_PER_SECOND:
                self._log.info("webhook.not_logged", code=code, count=count - LINES_PER_SECOND)
        self._this_second.clear()


def _begin(metrics: IngressMetrics) -> None:
    """Make the series of what can be answered to webhooks, and why, before it happens for the first time."""
    refusals = [*problems.ALL, *(problems.unauthenticated(one.code, one.detail) for one in specification.REFUSALS)]
    for problem in refusals:
        metrics.refused.labels(problem.code)
    for code in DEAD_LETTER_CODES:
        metrics.dead_letters.labels(code.value)
    for endpoint in ENDPOINTS:
        for problem in refusals:
            if problem is not problems.NOT_FOUND:  # that is `other`
                metrics.requests.labels(endpoint, problem.status.value)
                metrics.duration.labels(endpoint, f"{problem.status // 100}xx")
