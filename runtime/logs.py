"""Writes structured logs to stdout: JSON lines, or readable text on a terminal. Libraries' own logs go there, too.

Never logged: bodies, phone numbers, e-mail addresses, signatures, secrets.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

MAX_TEXT = 200  # characters of any text value: a log line must not carry a payload

# Libraries that log every reconnection attempt, or a traceback for each malformed request. We log changes of state,
# once; our level `debug` shows their warnings, too, but never their own debug lines, which quote keys and values.
_NOISY = {
    "aiohttp.server": logging.CRITICAL,
    "aiohttp.access": logging.WARNING,
    "aiokafka": logging.CRITICAL,
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": logging.CRITICAL,
    "urllib3": logging.WARNING,
}


def configure(*, service: str, level: str = "info", style: Literal["auto", "json", "text"] = "auto") -> None:
    """Set up structlog and the standard library's logging for this process."""
    as_text = style == "text" or (style == "auto" and sys.stdout.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _add_service(service),
    ]
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if as_text
        else [structlog.processors.format_exc_info, _lead, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, _cut, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _cut],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, library_level in _NOISY.items():
        logging.getLogger(name).setLevel(logging.WARNING if level == "debug" else library_level)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Give a module its logger."""
    return structlog.stdlib.get_logger(name)


def _add_service(service: str) -> Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _lead(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put first what a reader looks for first."""
    return {name: event[name] for name in ("ts", "level", "event") if name in event} | dict(event)


def _cut(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and key != "exception":
            event[key] = value[:MAX_TEXT] + "…"
    return event
