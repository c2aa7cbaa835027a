"""Decides whether this process is traced, by the variables that OpenTelemetry's SDK itself reads.

Nothing of OpenTelemetry is imported here. The composition roots import `runtime.otel`, and their own adapter, only when
`wanted` says so.
"""

import os
from importlib.util import find_spec

from runtime.errors import RefusedError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_RATIO_SAMPLERS = ("traceidratio", "parentbased_traceidratio")
_SAMPLERS = ("always_on", "always_off", "parentbased_always_on", "parentbased_always_off", *_RATIO_SAMPLERS)
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

#: For `--help`.
VARIABLES = """\
Traces, where the extra [otel] is installed, by OpenTelemetry's own variables, which have no _FILE form:

  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
      Collector, OTLP over HTTP: http://host:4318, or the whole URL (default: none, nothing is traced)
  OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
      Which webhooks are traced (default: parentbased_always_on)
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED, OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_* and others
      As OpenTelemetry's SDK for Python reads them; the service's name is the command's by default
"""


def wanted() -> bool:
    """Whether spans are to be exported.

    Raises:
        RefusedError: they are, and cannot be: the extra is not installed, or the exporter does not do what is set.
    """
    if _value("OTEL_SDK_DISABLED").lower() == "true" or _value("OTEL_TRACES_EXPORTER").lower() == "none":
        return False
    name = next((name for name in _ENDPOINTS if _value(name)), None)
    if name is None:
        return False
    if not _value(name).startswith(("http://", "https://")):
        raise RefusedError(f"{name} is not a URL: write http://host:4318, or https://")
    for protocol in _PROTOCOLS:
        if _value(protocol) not in ("", _PROTOCOL):
            raise RefusedError(f"{protocol} can only be {_PROTOCOL}: traces are exported by OTLP over HTTP")
    _refuse_unknown_sampler()
    if not all(_installed(package) for package in _PACKAGES):
        raise RefusedError(
            f"{name} is set, but OpenTelemetry is not installed: install ringover-events with its extra [otel] "
            "(locks/otel.txt), or remove the variable"
        )
    return True


def _refuse_unknown_sampler() -> None:
    """The SDK would trace everything instead."""
    sampler, argument = _value("OTEL_TRACES_SAMPLER").lower(), _value("OTEL_TRACES_SAMPLER_ARG")
    if sampler and sampler not in _SAMPLERS:
        raise RefusedError(f"OTEL_TRACES_SAMPLER is none of {', '.join(_SAMPLERS)}")
    if sampler in _RATIO_SAMPLERS and argument and not _is_ratio(argument):
        raise RefusedError(f"OTEL_TRACES_SAMPLER_ARG is not a ratio from 0 to 1, which {sampler} needs")


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # one that it is in
        return False
