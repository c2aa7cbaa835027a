"""A flood of refusals: every one counted, few of them logged."""

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ingress import problems
from ingress.observe import LINES_PER_SECOND, OTHER, Exchange, Observer
from runtime.metrics import IngressMetrics
from tests.support.waiting import until

FLOOD = 500


async def test_flood_is_counted_in_full_and_logged_in_part() -> None:
    registry = CollectorRegistry()
    with capture_logs() as lines:
        observer = Observer(IngressMetrics(registry))
        for _ in range(FLOOD):
            observer.answered(Exchange("id", OTHER), problems.NOT_FOUND, 404, 0.001)
        observer.answered(Exchange("id", OTHER), problems.TIMED_OUT, 408, 0.001)
        await until(lambda: summarised(lines), seconds=10)

    codes = [line["code"] for line in lines if line["event"] == "webhook.answered"]
    assert codes == ["not_found"] * LINES_PER_SECOND + ["request_timeout"]
    assert registry.get_sample_value("ringover_webhook_refused_total", {"code": "not_found"}) == FLOOD


async def summarised(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Other tests' observers may speak at this moment, too."""
    wanted = {"event": "webhook.not_logged", "code": "not_found", "count": FLOOD - LINES_PER_SECOND}
    return any(wanted.items() <= line.items() for line in lines)
