"""What operators see of each request: metrics, and one wide log line. Never a body, a number or a secret."""

from dataclasses import dataclass
from typing import TypeAlias

from ingress.accept import Accepted, ToDeadLetter, ToRaw
from ingress.answers import Problem
from runtime.logs import logger
from runtime.metrics import IngressMetrics
from schemas.endpoints import ENDPOINTS

OTHER = "other"  # the endpoint, in metrics and logs, of requests to none of ours


@dataclass(slots=True)
class Exchange:
    """What is known of one request; filled in on the way to its answer."""

    request_id: str
    endpoint: str
    key_id: str | None = None
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """The webhook is durable."""

    accepted: Accepted


Outcome: TypeAlias = Stored | Problem


class Observer:
    """Counts and logs answers. Label values come from enums and constants only."""

    def __init__(self, metrics: IngressMetrics) -> None:
        self._metrics = metrics
        # Bound once: looking labels up, or binding a logger, costs more than counting.
        self._durations = {name: metrics.duration.labels(name) for name in (*ENDPOINTS, OTHER)}
        self._accepted = {name: metrics.requests.labels(name, 202) for name in ENDPOINTS}
        self._log = logger(__name__).bind()

    def answered(self, exchange: Exchange, outcome: Outcome, status: int, seconds: float) -> None:
        """Note one answer; a webhook that went its normal way is logged at debug only."""
        self._durations[exchange.endpoint].observe(seconds)
        if exchange.key_id is not None:
            self._metrics.authenticated.labels(exchange.key_id).inc()
        level = self._log.info
        if isinstance(outcome, Problem):
            code = outcome.code
            self._metrics.requests.labels(exchange.endpoint, status).inc()
            self._metrics.refused.labels(code).inc()
        else:
            self._accepted[exchange.endpoint].inc()
            match outcome.accepted:
                case ToDeadLetter(reason=reason):
                    code = reason.code.value
                    self._metrics.dead_letters.labels(code).inc()
                case ToRaw():
                    code = "accepted"
                    level = self._log.debug
        level(
            "webhook.answered",
            request_id=exchange.request_id,
            endpoint=exchange.endpoint,
            status=status,
            code=code,
            key_id=exchange.key_id,
            call_id=exchange.call_id,
            duration_ms=round(seconds * 1000, 2),
        )
