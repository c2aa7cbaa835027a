"""The example webhooks that ship with the schemas: bodies as Ringover sends them, and what becomes of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from schemas.events import ENDPOINTS

SPECIFICATION = "specification"
_EXPECTED = ".expected.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """One example: `body` byte for byte; `expected` is the JSON of the normalized value or of the dead letter."""

    endpoint: str
    name: str
    body: bytes
    expected: bytes


def specification(endpoint: str) -> Sample:
    """The specification's own example for an endpoint.

    Raises:
        KeyError: no such endpoint.
    """
    return _read(_directory(endpoint), endpoint, SPECIFICATION)


def samples() -> Iterator[Sample]:
    """All examples, by endpoint and name."""
    for endpoint in ENDPOINTS:
        directory = _directory(endpoint)
        names = sorted(file.name for file in directory.iterdir())
        for name in names:
            if name.endswith(".json") and not name.endswith(_EXPECTED):
                yield _read(directory, endpoint, name.removesuffix(".json"))


def _directory(endpoint: str) -> Traversable:
    if endpoint not in ENDPOINTS:
        raise KeyError(endpoint)
    return resources.files("schemas") / "examples" / endpoint


def _read(directory: Traversable, endpoint: str, name: str) -> Sample:
    return Sample(
        endpoint=endpoint,
        name=name,
        body=(directory / f"{name}.json").read_bytes(),
        expected=(directory / f"{name}{_EXPECTED}").read_bytes(),
    )
