"""What is counted of each answer; a flood of refusals: every one counted, few of them logged."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ingress.accept import ToDeadLetter, ToRaw
from ingress.access_log import LINES_PER_SECOND, OTHER, AccessLog, Outcome, RequestContext
from ingress.http import problems
from ingress.metrics import IngressMetrics
from schemas.dead_letter import Code, Reason, Stage
from schemas.identity import CallId
from tests.support.waiting import until

FLOOD = 500


async def test_flood_is_counted_in_full_and_logged_in_part() -> None:
    registry = CollectorRegistry()
    with capture_logs() as lines:
        access_log = AccessLog(IngressMetrics(registry))
        for _ in range(FLOOD):
            access_log.answered(RequestContext("id", OTHER, 0.0), problems.NOT_FOUND, 404, 0.001)
        access_log.answered(RequestContext("id", OTHER, 0.0), problems.TIMED_OUT, 408, 0.001)
        await until(lambda: summarised(lines), seconds=10)

    codes = [line["code"] for line in lines if line["event"] == "webhook.answered"]
    assert codes == ["not_found"] * LINES_PER_SECOND + ["request_timeout"]
    assert registry.get_sample_value("ringover_webhook_refused_total", {"code": "not_found"}) == FLOOD


@pytest.mark.parametrize(
    ("outcome", "status", "expected"),
    [
        (ToRaw(CallId("c"), None, None), 202, "2xx"),
        (ToDeadLetter(Reason(Stage.ACCEPT, Code.NOT_JSON, "")), 202, "2xx"),
        (problems.TIMED_OUT, 408, "4xx"),
        (problems.NOT_STORED, 503, "5xx"),
    ],
)
async def test_time_to_answer_is_by_endpoint_and_class(outcome: Outcome, status: int, expected: str) -> None:
    registry = CollectorRegistry()

    AccessLog(IngressMetrics(registry)).answered(RequestContext("id", "call-ended", 0.0), outcome, status, 0.3)

    name = "ringover_http_request_duration_seconds"
    counted = {
        (sample.labels["endpoint"], sample.labels["class"])
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{name}_count" and sample.value
    }
    assert counted == {("call-ended", expected)}
    within = {"endpoint": "call-ended", "class": expected, "le": "0.25"}
    assert registry.get_sample_value(f"{name}_bucket", within) == 0
    assert registry.get_sample_value(f"{name}_sum", {"endpoint": "call-ended", "class": expected}) == 0.3


async def summarised(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Other tests' observers may speak at this moment, too."""
    wanted = {"event": "webhook.not_logged", "code": "not_found", "count": FLOOD - LINES_PER_SECOND}
    return any(wanted.items() <= line.items() for line in lines)
