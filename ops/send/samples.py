"""Reads the specification's example webhooks, which ship with the schemas."""

from importlib import resources
from typing import NamedTuple

from schemas.events import ENDPOINTS


class Sample(NamedTuple):
    """Holds one example: `body` byte for byte; `expected` is the JSON of the normalized value."""

    body: bytes
    expected: bytes


def specification(endpoint: str) -> Sample:
    """Return the specification's own example for an endpoint.

    Raises:
        KeyError: no such endpoint.
    """
    if endpoint not in ENDPOINTS:
        raise KeyError(endpoint)
    directory = resources.files("schemas") / "examples" / endpoint
    names = ("specification.json", "specification.expected.json")
    return Sample(*((directory / name).read_bytes() for name in names))
