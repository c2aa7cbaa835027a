"""One trace across all processes: the sender's, through ingress, raw topic and processor to the event."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiokafka import ConsumerRecord

from runtime.otel import FLUSH_SECONDS
from schemas.headers import TRACEPARENT, header
from tests.support.collector import Collector, Seen, collecting, silent
from tests.support.kafka import Webhook, producer, raw_headers, read_topic
from tests.support.ports import stable_port
from tests.support.processes import Programs
from tests.support.rewinding import rewind
from tests.support.signing import signature
from tests.support.traffic import ended, started
from tests.support.verdict import Place, judge, processed
from tests.support.waiting import until

TRACE_ID, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STRANGER = "c" * 32
RECORDS = 400
REQUEST = "POST /wh/ringover/call-started"


@dataclass
class Running:
    """Programs that export to the collector, and where webhooks go."""

    url: str
    collector: Collector
    place: Place

    async def post(self, webhook: Webhook, *, sign: bool = True, traceparent: str | None = None) -> int:
        headers = {"Content-Type": "application/json"}
        headers |= {"X-Ringover-Signature": signature(webhook.body) if sign else "0" * 64}
        headers |= {} if traceparent is None else {"traceparent": traceparent}
        url = f"{self.url}/wh/ringover/{webhook.slug}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=webhook.body, headers=headers) as response,
        ):
            return response.status

    @property
    def publish(self) -> str:
        return f"send {self.place.topics.raw}"

    @property
    def process(self) -> str:
        return f"process {self.place.topics.raw}"


@pytest.fixture
async def running(place: Place, programs: Programs) -> AsyncIterator[Running]:
    async with collecting() as collector:
        port = stable_port()
        ingress = programs.ingress(INGRESS_PORT=str(port), **collector.environment)
        processor = programs.processor(**collector.environment)
        await ingress.ready()
        await processor.ready()
        yield Running(f"http://127.0.0.1:{port}", collector, place)


async def test_one_trace_from_the_sender_to_the_event(running: Running) -> None:
    place = running.place

    assert await running.post(started("c-1"), sign=False, traceparent=f"00-{STRANGER}-{SENDER}-01") == 401
    assert await running.post(started("c-1"), traceparent=f"00-{TRACE_ID}-{SENDER}-01") == 202
    names = (REQUEST, running.publish, running.process, "claim", "commit")
    spans = await running.collector.named(*names, trace_id=TRACE_ID)
    request, publish, process, claim, commit = (spans[name] for name in names)

    assert [span.parent_id for span in (request, publish, process, claim, commit)] == [
        SENDER,
        request.span_id,
        publish.span_id,
        process.span_id,
        process.span_id,
    ]
    assert [span.kind for span in (request, publish, process, claim, commit)] == [
        "server",
        "producer",
        "consumer",
        "client",
        "internal",
    ]
    assert [span.service for span in (request, publish)] == ["ringover-ingress"] * 2
    assert [span.service for span in (process, claim, commit)] == ["ringover-processor"] * 3
    (raw,) = await read_topic(place.bootstrap_servers, place.topics.raw)
    (event,) = await read_topic(place.bootstrap_servers, place.topics.call)
    assert traceparents(raw) == traceparents(event) == [f"00-{TRACE_ID}-{publish.span_id}-01".encode()]
    assert_in_time(request, publish, process, claim, commit)
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": place.topics.raw,
        "messaging.destination.partition.id": str(raw.partition),
        "messaging.kafka.offset": raw.offset,
        "messaging.consumer.group.name": place.group,
        "messaging.batch.message_count": 1,
        "ringover.event_type": "call.started",
        "ringover.outcome": "emitted",
    }
    # What the stranger brought would have come before.
    assert {span.trace_id for span in running.collector.spans} == {TRACE_ID}


async def test_pass_again_is_a_trace_of_its_own_with_a_link(running: Running, programs: Programs) -> None:
    place = running.place
    assert await running.post(ended("c-1")) == 202  # no traceparent: a trace begins
    assert await running.post(Webhook("call-ended", "c-1", b"{}" + b" " * 9)) == 202  # a dead letter of the ingress
    first = (await running.collector.named(running.process))[running.process]
    assert await running.post(ended("c-1")) == 202

    async def processing(outcome: str) -> Seen:
        async def seen() -> list[Seen]:
            return [span for span in running.collector.spans if span.attributes.get("ringover.outcome") == outcome]

        return (await until(seen, what=outcome))[0]

    duplicate = await processing("duplicate")
    await processed(place, 2)
    await rewind(programs.env, "--to-earliest", "--execute", expect=0)

    async def again() -> list[Seen]:
        found = [span for span in running.collector.spans if span.name == running.process and span.links]
        return found if len(found) == 2 else []

    passes = await until(again, what="the pass again")
    raw = await read_topic(place.bootstrap_servers, place.topics.raw)
    events = await read_topic(place.bootstrap_servers, place.topics.call)
    assert [span.links for span in passes] == [(context(record),) for record in raw]
    assert [span.attributes["ringover.outcome"] for span in passes] == ["emitted", "duplicate"]
    assert {span.parent_id for span in passes} == {""}
    assert len({first.trace_id, duplicate.trace_id, *(span.trace_id for span in passes)}) == 4
    assert traceparents(events[0]) == traceparents(events[1]) == traceparents(raw[0])
    (letter,) = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    (sent,) = [span for span in running.collector.spans if span.name == f"send {place.topics.dead_letter}"]
    assert context(letter) == sent.traceparent


async def test_silent_collector_holds_up_neither_commits_nor_the_end(place: Place, programs: Programs) -> None:
    async with silent() as url, producer(place.bootstrap_servers) as client:
        more = {"OTEL_BSP_MAX_QUEUE_SIZE": "512", "PROCESSOR_BATCH_RECORDS": "20"}  # so that every record is traced
        processor = programs.processor(OTEL_EXPORTER_OTLP_ENDPOINT=url, **more)
        await processor.ready()
        for number in range(RECORDS):  # three spans each: more than one request and the queue take
            webhook = started(f"c-{number}")
            traced = (TRACEPARENT, f"00-{TRACE_ID}-{number + 1:016x}-01".encode())
            headers = [*raw_headers(webhook.slug), traced]
            await client.send(place.topics.raw, webhook.body, webhook.key.encode(), headers=headers)
        await client.flush()
        await processed(place, RECORDS)
        began = time.monotonic()
        assert await asyncio.to_thread(processor.stop) == 0
        seconds = time.monotonic() - began

    assert len((await judge(place)).events) == RECORDS
    assert seconds < FLUSH_SECONDS + 5  # it leaves the group, too
    events = [json.loads(line)["event"] for line in processor.log.read_text().splitlines()]
    assert events[-2:] == ["traces.not_flushed", "process.stopped"]
    assert 1 <= events.count("Queue full, dropping Span.") <= 2  # one line in 20 seconds


def traceparents(record: ConsumerRecord) -> list[bytes]:
    return [value for name, value in record.headers if name == TRACEPARENT]


def context(record: ConsumerRecord) -> tuple[str, str]:
    """Trace id and span id of the record's traceparent."""
    value = header(record.headers, TRACEPARENT)
    assert value is not None
    _, trace_id, span_id, _ = value.decode().split("-")
    return trace_id, span_id


def assert_in_time(request: Seen, publish: Seen, process: Seen, claim: Seen, commit: Seen) -> None:
    """Each within what it belongs to, by one clock."""
    assert request.start <= publish.start <= publish.end <= request.end
    assert process.start <= claim.start <= claim.end <= commit.start <= commit.end <= process.end
    assert publish.start <= process.start
