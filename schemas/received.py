"""Webhook bodies as received from Ringover: strict on the fields we use, tolerant of every other one.

Source: the customer's specification, "Payload raw" of sections 1.1 to 1.3. Optional fields may be absent or null.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import E164, CallerNumber, Id, NonEmpty, Seconds, Timestamp


class _Received(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)


class Agent(_Received):
    """The agent of a call."""

    id: Id | None = None


class StartedCall(_Received):
    """The `call` of a `call.started`."""

    id: Id
    direction: Literal["inbound", "outbound", "internal"]
    from_: CallerNumber = Field(default=None, alias="from")
    to: E164
    queue_id: Id | None = None
    agent: Agent | None = None


class EndedCall(_Received):
    """The `call` of a `call.ended`."""

    id: Id
    duration_sec: Seconds
    hangup_cause: NonEmpty
    disposition: NonEmpty


class RecordedCall(_Received):
    """The `call` of a `call.recording_ready`."""

    id: Id


class Recording(_Received):
    """A recording; `url` is opaque to us: nothing here ever fetches it."""

    id: Id
    url: NonEmpty


class Transcript(_Received):
    """A recording's transcript."""

    text: str | None = None
    language: str | None = None


class _Envelope(_Received):
    timestamp: Timestamp
    event_id: Id | None = None


class CallStartedReceived(_Envelope):
    """Body of `POST /wh/ringover/call-started`."""

    call: StartedCall


class CallEndedReceived(_Envelope):
    """Body of `POST /wh/ringover/call-ended`."""

    call: EndedCall


class RecordingReadyReceived(_Envelope):
    """Body of `POST /wh/ringover/recording-ready`."""

    call: RecordedCall
    recording: Recording
    transcript: Transcript | None = None
