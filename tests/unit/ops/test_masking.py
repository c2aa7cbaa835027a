"""The marks on the models' fields, which masking follows."""

from collections import defaultdict
from typing import Annotated, NotRequired

import pytest
from pydantic import Field
from typing_extensions import TypedDict

from ops.kit.masking import NUMBER_HEADERS, marks, shown_header, shown_raw_header
from schemas.events import EventType
from schemas.fields import Shown
from schemas.headers import EventHeaders, RawHeaders
from schemas.identity import EventId, IdempotencyKey

MODELS = [model for event in EventType for model in (event.received, event.normalized)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_every_model_has_a_mark(model: type[object]) -> None:
    found = dict(marks(model))

    assert found
    assert [path for path, mark in found.items() if mark is None] == []


@pytest.mark.parametrize("kind", ["received", "normalized"])
def test_a_field_has_the_same_mark_in_all_events(kind: str) -> None:
    """They are looked up together: of a dead body nobody knows which event it is."""
    found: dict[tuple[str, ...], set[Shown | None]] = defaultdict(set)
    for event in EventType:
        for path, mark in marks(getattr(event, kind)):
            found[path].add(mark)

    assert {path: some for path, some in found.items() if len(some) > 1} == {}


class Caller(TypedDict):
    """A part of a body with one field that is marked, under another name, and one that is not."""

    number: NotRequired[Annotated[Annotated[str, Shown.NUMBER] | None, Field(alias="from")]]
    name: NotRequired[str | None]


class Called(TypedDict):
    """A body."""

    caller: NotRequired[Caller | None]


def test_a_field_without_a_mark_is_noticed_also_inside() -> None:
    assert dict(marks(Called)) == {("caller", "from"): Shown.NUMBER, ("caller", "name"): None}


def test_every_header_that_we_write_is_known() -> None:
    event = EventHeaders(
        EventType.CALL_STARTED,
        EventId("e" * 64),
        "ro_call_1",
        "2026-01-02T15:00:00.000Z",
        IdempotencyKey("ringover:call.started:ro_call_1"),
        "ringover.raw.v1/3/7",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "204",
        "sip:jean@voix.example",
    )
    raw = RawHeaders(
        "id", "call-started", "2026-01-02T15:00:00Z", "hmac", "one", "application/json", "feed", "00-1-1-00"
    )

    hidden = [name for name, value in event.encode() if value and shown_header(name, value.decode()) == "•••"]
    assert hidden == list(NUMBER_HEADERS)
    assert [name for name, value in raw.encode() if value and shown_raw_header(name, value) == "•••"] == []
