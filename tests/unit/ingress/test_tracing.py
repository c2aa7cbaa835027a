"""Spans of webhooks: who gets one, what is in it, and which traceparent the record has."""

import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_OFF, ParentBasedTraceIdRatio, Sampler
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from ingress.otel import WebhookTracer
from runtime.errors import PublishError, SpoolFullError
from schemas.headers import TRACEPARENT
from tests.support.spans import Spans, ids
from tests.support.waiting import until
from tests.unit.ingress.publishers import Stored
from tests.unit.ingress.serving import (
    BODY,
    STARTED_PATH,
    TOKEN,
    TOPICS,
    Serving,
    raw_connection,
    serving,
    signed,
    signed_head,
)

TRACE_ID, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SENDER}-01"
NOT_SAMPLED = f"00-{TRACE_ID}-{SENDER}-00"
REQUEST, PUBLISH = "POST /wh/ringover/call-started", "send test.ringover.raw.v1"


async def post(server: Serving, body: bytes = BODY, **more: str) -> int:
    headers, url = signed(body, more), server.url + STARTED_PATH
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as answer:
        return answer.status


def traceparents(record: Stored) -> list[str]:
    return [value.decode() for name, value in record[3] if name == TRACEPARENT]


def failed(span: ReadableSpan) -> bool:
    return not span.status.is_ok and not span.status.is_unset


async def test_webhook_continues_the_senders_trace_and_its_record_the_publication() -> None:
    spans = Spans()
    before = time.time_ns()
    async with serving(tracer=WebhookTracer(spans.tracer)) as server:
        assert await post(server, traceparent=SAMPLED) == 202

    request, publish = spans.named(REQUEST), spans.named(PUBLISH)
    assert ids(request.parent) == (TRACE_ID, SENDER)
    assert publish.parent == request.context
    assert (request.kind, publish.kind) == (SpanKind.SERVER, SpanKind.PRODUCER)
    assert traceparents(server.raw[0]) == ["00-{}-{}-01".format(*ids(publish.context))]
    assert before <= (request.start_time or 0) <= (publish.start_time or 0) <= (publish.end_time or 0)
    assert (publish.end_time or 0) <= (request.end_time or 0) <= time.time_ns()
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": STARTED_PATH,
        "http.request.body.size": len(BODY),
        "http.response.status_code": 202,
        "ringover.key_id": "key-1",
        "ringover.code": "accepted",
    }
    assert dict(publish.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": TOPICS.raw,
        "messaging.message.body.size": len(BODY),
    }
    assert not failed(request)
    assert not failed(publish)


async def test_webhook_without_a_trace_begins_one() -> None:
    spans = Spans()
    async with serving(tracer=WebhookTracer(spans.tracer)) as server:
        assert await post(server) == 202
        assert await post(server, traceparent="garbage") == 202

    requests = [span for span in spans.ended if span.name == REQUEST]
    publishes = [span for span in spans.ended if span.name == PUBLISH]
    assert [span.parent for span in requests] == [None, None]
    assert len({ids(span.context)[0] for span in requests}) == 2
    assert [traceparents(record)[0].split("-")[1:3] for record in server.raw] == [
        list(ids(span.context)) for span in publishes
    ]


@pytest.mark.parametrize(
    ("sampler", "sent"),
    [
        (DEFAULT_OFF, None),
        (ParentBasedTraceIdRatio(0.0), None),
        (DEFAULT_OFF, NOT_SAMPLED),
        (ALWAYS_OFF, SAMPLED),
        (ALWAYS_OFF, f"cc-{TRACE_ID}-{SENDER}-03"),
    ],
)
async def test_webhook_that_is_not_sampled_is_stored_as_without_tracing(sampler: Sampler, sent: str | None) -> None:
    spans = Spans(sampler)
    async with serving(tracer=WebhookTracer(spans.tracer)) as server, serving() as untraced:
        for one in (server, untraced):
            assert (await post(one) if sent is None else await post(one, traceparent=sent)) == 202

    assert spans.ended == ()
    assert traceparents(server.raw[0]) == traceparents(untraced.raw[0]) == ([] if sent is None else [sent])


async def test_nothing_of_a_stranger_is_traced() -> None:
    spans = Spans()
    json = {"Content-Type": "application/json", "traceparent": SAMPLED}
    strangers: list[tuple[str, dict[str, Any]]] = [
        (STARTED_PATH, json),
        (STARTED_PATH, json | {"X-Ringover-Signature": "0" * 64}),
        (STARTED_PATH, json | {"Authorization": "Bearer guessed"}),
        (STARTED_PATH, signed(b"another body", json)),
        (STARTED_PATH, json | {"Content-Type": "text/plain"}),
        ("/wh/ringover/other", signed(BODY, json)),
        ("/", json),
    ]
    async with serving(tracer=WebhookTracer(spans.tracer)) as server, aiohttp.ClientSession() as client:
        for path, headers in strangers:
            async with client.post(server.url + path, data=BODY, headers=headers) as answer:
                assert answer.status in (401, 404, 415)
        async with client.get(server.url + STARTED_PATH, headers=json) as answer:
            assert answer.status == 405

    assert server.nothing_stored
    assert spans.ended == ()


async def test_body_without_a_call_id_is_traced_to_the_dead_letters() -> None:
    spans = Spans()
    async with serving(tracer=WebhookTracer(spans.tracer)) as server:
        with capture_logs() as lines:
            assert await post(server, b"{}", Authorization=f"Bearer {TOKEN}", traceparent=SAMPLED) == 202

    publish = spans.named("send test.ringover.dead-letter.v1")
    request = spans.named(REQUEST)
    assert traceparents(server.dead_letters[0]) == ["00-{}-{}-01".format(*ids(publish.context))]
    assert (request.attributes or {})["ringover.code"] == "call_id_unusable"
    assert not failed(request)
    assert [line["trace_id"] for line in lines if line["event"] == "webhook.answered"] == [TRACE_ID]


async def test_two_traceparents_are_none() -> None:
    spans = Spans()
    async with serving(tracer=WebhookTracer(spans.tracer)) as server, raw_connection(server) as raw:
        lines = (f"traceparent: {SAMPLED}", f"traceparent: {NOT_SAMPLED}", f"Content-Length: {len(BODY)}")
        await raw.send(signed_head(BODY, *lines) + BODY)
        assert (await raw.answer()).status == 202

    assert spans.named(REQUEST).parent is None
    assert len(traceparents(server.raw[0])) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PublishError("no +33601020304"), 503, "not_stored"),
        (SpoolFullError("no +33601020304"), 503, "spool_full"),
        (RuntimeError("no +33601020304"), 500, "internal"),
    ],
)
async def test_failure_is_a_code_and_never_its_text(error: Exception, status: int, code: str) -> None:
    spans = Spans()
    async with serving(tracer=WebhookTracer(spans.tracer)) as server:
        server.publisher.fail = error
        assert await post(server) == status

    for span in (spans.named(REQUEST), spans.named(PUBLISH)):
        assert failed(span)
        assert (span.attributes or {})["error.type"] == code
        assert "33601020304" not in span.to_json()


async def test_webhook_that_is_not_stored_before_the_end_leaves_no_span_open() -> None:
    spans = Spans()
    async with AsyncExitStack() as sender:  # stays until after the server's end
        async with serving(tracer=WebhookTracer(spans.tracer), drain_seconds=0.01) as server:
            server.publisher.hold()
            raw = await sender.enter_async_context(raw_connection(server))
            await raw.send(signed_head(BODY, f"Content-Length: {len(BODY)}") + BODY)

            async def publishing() -> bool:
                return server.publisher.waiting == 1

            await until(publishing)

        async def over() -> bool:
            return len(spans.ended) == 2

        await until(over)
    assert [(span.attributes or {})["error.type"] for span in spans.ended] == ["cancelled", "cancelled"]
    assert "http.response.status_code" not in (spans.named(REQUEST).attributes or {})
