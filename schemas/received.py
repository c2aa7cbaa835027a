"""Models webhook bodies as Ringover sends them: strict on the fields we use, tolerant of every other one.

Source: the customer's specification, "Payload raw" of sections 1.1 to 1.3. Optional fields may be absent or null.
Validating a body makes plain dictionaries with these fields alone. Each has a mark in its type that says how it may be
shown (schemas.fields.Shown).
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic_core import CoreConfig, SchemaValidator
from typing_extensions import TypedDict

from schemas.fields import CalledNumber, CallerNumber, Id, Seconds, Shown, Timestamp, Url, Words

_received = with_config(ConfigDict(strict=True, extra="ignore"))


def validator(model: type[Any]) -> SchemaValidator:
    """Makes the validator of one of these models; its errors never quote the body."""
    return SchemaValidator(TypeAdapter(model).core_schema, CoreConfig(hide_input_in_errors=True))


@_received
class Agent(TypedDict):
    """The agent of a call."""

    id: NotRequired[Id | None]


@_received
class StartedCall(TypedDict):
    """The `call` of a `call.started`."""

    id: Id
    direction: Annotated[Literal["inbound", "outbound", "internal"], Shown.WORD]
    from_: NotRequired[Annotated[CallerNumber, Field(alias="from")]]
    to: CalledNumber
    queue_id: NotRequired[Id | None]
    agent: NotRequired[Agent | None]


@_received
class EndedCall(TypedDict):
    """The `call` of a `call.ended`."""

    id: Id
    duration_sec: Seconds
    hangup_cause: Words
    disposition: Words


@_received
class RecordedCall(TypedDict):
    """The `call` of a `call.recording_ready`."""

    id: Id


@_received
class Recording(TypedDict):
    """A recording; `url` is opaque to us: nothing here ever fetches it."""

    id: Id
    url: Url


@_received
class Transcript(TypedDict):
    """A recording's transcript."""

    text: NotRequired[Annotated[str | None, Shown.HIDDEN]]
    language: NotRequired[Annotated[str | None, Shown.WORD]]


@_received
class CallStartedReceived(TypedDict):
    """Body of `POST /wh/ringover/call-started`."""

    timestamp: Timestamp
    event_id: NotRequired[Id | None]
    call: StartedCall


@_received
class CallEndedReceived(TypedDict):
    """Body of `POST /wh/ringover/call-ended`."""

    timestamp: Timestamp
    event_id: NotRequired[Id | None]
    call: EndedCall


@_received
class RecordingReadyReceived(TypedDict):
    """Body of `POST /wh/ringover/recording-ready`."""

    timestamp: Timestamp
    event_id: NotRequired[Id | None]
    call: RecordedCall
    recording: Recording
    transcript: NotRequired[Transcript | None]
