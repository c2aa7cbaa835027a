"""When a process is traced, what it refuses, and a collector that is away, slow or back."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import get_current_span
from structlog.testing import capture_logs

from runtime import otel, tracing
from runtime.errors import RefusedError
from runtime.otel import StatefulExporter, context_of, exporting, resource_of, span_context_of, traceparent_of
from tests.support.processes import inherited
from tests.support.spans import Spans

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
COLLECTOR = "http://127.0.0.1:9"
# No server is reached: what is refused is refused before.
SETTINGS = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "DATABASE_URL": "postgresql://127.0.0.1:9/none",
    "INGRESS_HOST": "127.0.0.1",
    "INGRESS_HMAC_SECRETS": "a:b",
    "LOG_FORMAT": "json",
}
PROGRAMS = ("ingress", "processors")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "a", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{COLLECTOR}/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_endpoint_switches_it_on(environment: pytest.MonkeyPatch, variables: Mapping[str, str], wanted: bool) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)

    assert tracing.wanted() is wanted


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL can only be http/protobuf",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_TRACES_SAMPLER": "jaeger_remote"},
            "OTEL_TRACES_SAMPLER is none of always_on, ",
        ),
        *(
            (
                {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR,
                    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                    "OTEL_TRACES_SAMPLER_ARG": ratio,
                },
                "OTEL_TRACES_SAMPLER_ARG is not a ratio from 0 to 1",
            )
            for ratio in ("1%", "2", "-0.1", "nan")
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(
    environment: pytest.MonkeyPatch, variables: Mapping[str, str], words: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)

    with pytest.raises(RefusedError, match=words):
        tracing.wanted()


async def test_variables_that_the_sdk_refuses_are_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR)
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")

    with pytest.raises(RefusedError, match=r"OTEL_\*"):
        async with exporting("test"):
            pass


@pytest.mark.parametrize("sampler", [None, *tracing._SAMPLERS])
async def test_sampler_that_is_accepted_is_the_one_that_the_sdk_uses(
    environment: pytest.MonkeyPatch, sampler: str | None
) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR)
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    if sampler is not None:
        environment.setenv("OTEL_TRACES_SAMPLER", sampler.upper())

    with capture_logs() as lines:
        assert tracing.wanted()
        async with exporting("test"):
            pass

    words = str(lines[0]["sampler"]).lower()
    assert words.startswith("parentbased{root:") is (sampler is None or sampler.startswith("parentbased"))
    kind = (sampler or "always_on").removeprefix("parentbased_").replace("_", "")
    assert words.removeprefix("parentbased{root:").startswith(
        {"traceidratio": "traceidratiobased{0.25}"}.get(kind, kind)
    )


def python(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**inherited(), **SETTINGS, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_the_extra_one_sentence_says_so(program: str) -> None:
    hidden = f"import sys; sys.modules['opentelemetry'] = None; from {program}.__main__ import main; sys.exit(main())"

    ran = python(hidden, OTEL_EXPORTER_OTLP_ENDPOINT=COLLECTOR)

    assert ran.returncode == 78, ran.stdout + ran.stderr
    assert "install ringover-events with its extra [otel]" in ran.stdout.splitlines()[-1]
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_names_the_variables(program: str) -> None:
    ran = python(f"import sys; sys.argv = ['x', '--help']; from {program}.__main__ import main; sys.exit(main())")

    assert ran.returncode == 0
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in ran.stdout


def test_service_is_named_by_the_environment_or_by_us(environment: pytest.MonkeyPatch) -> None:
    assert resource_of("ours").attributes["service.name"] == "ours"
    environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs,deployment.environment.name=test")
    assert resource_of("ours").attributes["service.name"] == "theirs"
    assert resource_of("ours").attributes["deployment.environment.name"] == "test"
    environment.setenv("OTEL_SERVICE_NAME", "named")
    assert resource_of("ours").attributes["service.name"] == "named"


def test_traceparent_is_read_and_written_as_the_same() -> None:
    span = get_current_span(context_of(TRACEPARENT))

    assert traceparent_of(span) == TRACEPARENT
    assert span.get_span_context() == span_context_of(TRACEPARENT)
    assert span.get_span_context().is_remote
    assert not get_current_span(context_of(None)).get_span_context().is_valid


class Collector(SpanExporter):
    """Takes spans, or not, or never answers."""

    def __init__(self, *, takes: bool = True, answers: bool = True) -> None:
        self.takes = takes
        self.taken = 0
        self.closed = threading.Event()
        self._answers = answers

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self._answers:
            self.closed.wait(30)
        if self.takes:
            self.taken += len(spans)
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed.set()


def test_collector_that_is_away_is_said_once_and_its_return_too() -> None:
    collector = Collector(takes=False)
    exporter = StatefulExporter(collector)
    spans = Spans()
    spans.tracer.start_span("a").end()

    with capture_logs() as lines:
        for takes in (False, False, True, True, False):
            collector.takes = takes
            exporter.export(spans.ended)

    assert [(line["event"], line.get("lost")) for line in lines] == [
        ("traces.unavailable", None),
        ("traces.available", 2),
        ("traces.unavailable", None),
    ]


async def test_what_waits_is_exported_at_the_end(environment: pytest.MonkeyPatch) -> None:
    collector = Collector()
    environment.setattr(otel, "OTLPSpanExporter", lambda: collector)

    async with exporting("test") as tracer:
        for _ in range(1000):
            tracer.start_span("a").end()

    assert collector.taken == 1000


async def test_collector_that_never_answers_holds_up_neither_work_nor_the_end(environment: pytest.MonkeyPatch) -> None:
    collector = Collector(answers=False)
    environment.setattr(otel, "OTLPSpanExporter", lambda: collector)
    environment.setattr(otel, "FLUSH_SECONDS", 0.2)
    environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")

    began = time.monotonic()
    with capture_logs() as lines:
        async with exporting("test") as tracer:
            for _ in range(5000):  # more than the queue takes
                tracer.start_span("a").end()

    assert time.monotonic() - began < 5
    assert [line["event"] for line in lines][-1] == "traces.not_flushed"
    assert collector.closed.is_set()
    await asyncio.sleep(0)
