"""The description of the ingress for those who send, held to the code."""

from ingress.openapi import document, main, refusals
from schemas.events import ENDPOINTS, PATH_PREFIX, EventType


def test_the_file_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_every_endpoint_and_every_refusal_is_described() -> None:
    paths = document()["paths"]

    assert list(paths) == [PATH_PREFIX + slug for slug in ENDPOINTS]
    for path in paths.values():
        assert set(path["post"]["responses"]) == {"202", *(str(status.value) for status in refusals())}


def test_models_are_those_that_the_processors_read() -> None:
    bodies = document()["components"]["schemas"]

    assert {event: bodies[event.received.__name__]["properties"]["event"] for event in EventType} == {
        event: {"const": event.value} for event in ENDPOINTS.values()
    }
