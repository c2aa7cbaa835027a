"""Log lines: their shape, and what is not in them."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime import logs
from runtime.logs import MAX_TEXT


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    libraries = {name: logging.getLogger(name).level for name in logs._NOISY}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, library_level in libraries.items():
        logging.getLogger(name).setLevel(library_level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="json")

    logs.logger("a.module").info("batch.committed", partition=3, records=10)

    (line,) = lines(capsys)
    assert line.pop("ts").endswith("Z")
    assert line == {"event": "batch.committed", "level": "info", "service": "test", "partition": 3, "records": 10}


def test_libraries_take_the_same_road(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="json")

    logging.getLogger("a.library").warning("it %s", "happened")

    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["service"]) == ("it happened", "warning", "test")
    assert "ts" in line


def test_lower_levels_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", level="warning", style="json")

    logs.logger("a").info("quiet")
    logs.logger("a").warning("loud")
    logging.getLogger("b").info("quiet")
    logging.getLogger("aiokafka").info("quiet")
    # Several lines for each batch that a collector does not take; what we say of it is `traces.unavailable`.
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("quiet")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_long_text_is_cut_so_that_no_line_carries_a_payload(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="json")

    logs.logger("a").info("event", body="x" * 10_000, short="y" * MAX_TEXT)

    (line,) = lines(capsys)
    assert line["body"] == "x" * MAX_TEXT + "…"
    assert line["short"] == "y" * MAX_TEXT


def test_long_text_of_a_library_is_cut_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="json")

    logging.getLogger("b").warning("event", extra={"body": "x" * 10_000})

    (line,) = lines(capsys)
    assert line["body"] == "x" * MAX_TEXT + "…"


def test_exception_is_in_its_line_whole(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="json")

    try:
        int("no number")
    except ValueError:
        logs.logger("a").exception("failed")

    (line,) = lines(capsys)
    assert "Traceback" in line["exception"]
    assert line["exception"].endswith("invalid literal for int() with base 10: 'no number'")


def test_text_style_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test", style="text")

    logs.logger("a").info("event", partition=3)

    out = capsys.readouterr().out
    assert "event" in out
    assert not out.startswith("{")


def test_auto_is_json_when_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(service="test")

    logs.logger("a").info("event")

    assert lines(capsys)[0]["event"] == "event"
