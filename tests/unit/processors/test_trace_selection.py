"""Which records of a batch are traced, and the spans that they get."""

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from processors.model import Batch
from processors.otel import BatchTracer
from processors.trace_selection import MAX_TRACED, TracedRecord
from schemas.headers import TRACEPARENT
from tests.support.broker import MemoryKafka
from tests.support.kafka import raw_headers
from tests.support.memory import CrashError, MemoryDatabase, Step
from tests.support.spans import Spans, ids
from tests.unit.processors.test_pipeline import PARTITION, TOPICS, Process, append, ended, wanted, written

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Remembering:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[Batch, list[TracedRecord]]] = []

    def committed(self, batch: Batch, records: Sequence[TracedRecord]) -> None:
        self.batches.append((batch, list(records)))

    @property
    def records(self) -> list[TracedRecord]:
        return [record for _, records in self.batches for record in records]


def traceparent(number: int, flags: str = "01") -> str:
    return f"00-{TRACE_ID}-{number:016x}-{flags}"


def store(kafka: MemoryKafka, body: bytes, *found: str | bytes, key: str = "a") -> None:
    values = [value if isinstance(value, bytes) else value.encode() for value in found]
    kafka.append(key.encode(), body, [*raw_headers("call-ended"), *((TRACEPARENT, value) for value in values)])


async def test_outcomes_are_told_with_their_records() -> None:
    kafka, tracer = MemoryKafka(PARTITION), Remembering()
    store(kafka, ended("a"), traceparent(1))
    store(kafka, ended("a"), traceparent(2, "03"))
    store(kafka, ended("a", 2), traceparent(3))
    store(kafka, b"{", traceparent(4))

    await Process(kafka, MemoryDatabase(), max_records=10, tracer=tracer).drain()

    assert tracer.records == [
        TracedRecord(traceparent(1), 0, again=False, event_type="call.ended", outcome="emitted", code=None),
        TracedRecord(traceparent(2, "03"), 1, again=False, event_type="call.ended", outcome="duplicate", code=None),
        TracedRecord(traceparent(3), 2, again=False, event_type="call.ended", outcome="conflict", code=None),
        TracedRecord(traceparent(4), 3, again=False, event_type="unknown", outcome="dead_letter", code="not_json"),
    ]
    for batch, _ in tracer.batches:
        steps = batch.steps
        times = [steps.fetched, steps.claiming, steps.claimed, steps.committing, steps.committed]
        assert times == sorted(times)
        assert steps.fetched > 0


@pytest.mark.parametrize(
    "value",
    [
        traceparent(1, "00"),
        traceparent(1, "02"),
        traceparent(0),
        traceparent(1).upper(),
        traceparent(1) + "-more",
        "garbage",
        "",
        b"\xff" * 55,
    ],
)
async def test_record_without_a_valid_sampled_traceparent_is_not_traced(value: str | bytes) -> None:
    kafka, tracer = MemoryKafka(PARTITION), Remembering()
    store(kafka, ended("a"), value)
    store(kafka, b"{", value)
    append(kafka, "b")
    store(kafka, ended("c"), traceparent(9), key="c")

    await Process(kafka, MemoryDatabase(), tracer=tracer).drain()

    assert [record.traceparent for record in tracer.records] == [traceparent(9)]


async def test_of_a_batch_only_so_many_are_traced_and_all_come_out() -> None:
    kafka, tracer = MemoryKafka(PARTITION), Remembering()
    for number in range(MAX_TRACED + 9):
        store(kafka, ended(f"c{number}"), traceparent(number + 1), key=f"c{number}")

    await Process(kafka, MemoryDatabase(), max_records=1000, tracer=tracer).drain()

    assert [record.offset for record in tracer.records] == list(range(MAX_TRACED))
    assert written(kafka) == wanted(kafka.as_raw())


async def test_pass_again_says_so_and_writes_the_same() -> None:
    kafka, database, tracer = MemoryKafka(PARTITION), MemoryDatabase(), Remembering()
    store(kafka, ended("a"), traceparent(1))
    await Process(kafka, database, tracer=tracer).drain()
    kafka.rewind(0)
    store(kafka, ended("b"), traceparent(2), key="b")

    await Process(kafka, database, tracer=tracer).drain()

    assert [(record.offset, record.again) for record in tracer.records] == [(0, False), (0, True), (1, False)]
    events = written(kafka)[TOPICS.call]
    assert events[0] == events[1]
    assert (TRACEPARENT, traceparent(1).encode()) in events[0][2]


async def test_batch_that_did_not_commit_is_told_when_it_does_as_claimed_before() -> None:
    kafka, database, tracer = MemoryKafka(PARTITION), MemoryDatabase(), Remembering()
    store(kafka, ended("a"), traceparent(1))
    crashing = Process(kafka, database, tracer=tracer)

    async def crash() -> None:
        crashing.hooks.crash()

    crashing.hooks.at(Step.CLAIMED, crash)
    with pytest.raises(CrashError):
        await crashing.run()
    assert tracer.batches == []

    await Process(kafka, database, tracer=tracer).drain()

    assert [(record.offset, record.again) for record in tracer.records] == [(0, True)]


def passed(spans: Spans, *records: TracedRecord) -> Batch:
    batch = Batch(PARTITION, 5, 8, [])
    steps = batch.steps
    steps.fetched, steps.claiming, steps.claimed, steps.committing, steps.committed = 10, 20, 30, 40, 50
    BatchTracer(spans.tracer, topic="raw", group="g").committed(batch, records)
    return batch


def times(span: ReadableSpan) -> tuple[int | None, int | None]:
    return span.start_time, span.end_time


async def test_record_is_a_child_of_its_publication_with_the_batchs_steps_in_it() -> None:
    spans = Spans()

    passed(
        spans,
        TracedRecord(traceparent(1), 5, again=False, event_type="unknown", outcome="dead_letter", code="not_json"),
    )

    process, claim, commit = (spans.named(name) for name in ("process raw", "claim", "commit"))
    assert ids(process.parent) == (TRACE_ID, f"{1:016x}")
    assert claim.parent == commit.parent == process.context
    assert [span.kind for span in (process, claim, commit)] == [SpanKind.CONSUMER, SpanKind.CLIENT, SpanKind.INTERNAL]
    assert [times(span) for span in (process, claim, commit)] == [(10, 50), (20, 30), (40, 50)]
    assert (process.attributes or {})["ringover.code"] == "not_json"
    assert dict(claim.attributes or {}) == {"db.system.name": "postgresql"}


async def test_record_that_was_claimed_before_is_linked_not_a_child() -> None:
    spans = Spans()

    passed(spans, TracedRecord(traceparent(1), 5, again=True, event_type="call.ended", outcome="emitted", code=None))

    process = spans.named("process raw")
    assert process.parent is None
    assert [ids(link.context) for link in process.links] == [(TRACE_ID, f"{1:016x}")]
    assert ids(process.context)[0] != TRACE_ID
    assert {ids(span.context)[0] for span in spans.ended} == {ids(process.context)[0]}


async def test_sampler_of_the_processor_decides_too() -> None:
    spans = Spans(ALWAYS_OFF)

    passed(spans, TracedRecord(traceparent(1), 5, again=False, event_type="call.ended", outcome="emitted", code=None))

    await asyncio.sleep(0)
    assert spans.ended == ()
