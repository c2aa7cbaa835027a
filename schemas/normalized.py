"""Models the values of events on the topics, with exactly the specification's fields in its order.

A change here is a change of contract: it needs an example and a line in docs/design.md, and a new schema version unless
every value that was valid stays so: the version is in a header of each event, and a rewind must give the same bytes.
Each field has a mark in its type that says how it may be shown (schemas.fields.Shown).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import ID_MAX_CHARACTERS, INT64_MAX, NO_CONTROL_PATTERN, Shown, Url, Words
from schemas.numbers import E164_PATTERN

SCHEMA_VERSION = 1

_Id = Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARACTERS, pattern=NO_CONTROL_PATTERN), Shown.ID]
_E164 = Annotated[str, Field(pattern=f"^{E164_PATTERN}$".replace("\\+", "[+]")), Shown.NUMBER]


class NormalizedEvent(BaseModel):
    """Holds what every normalized value has, and refuses fields that are not its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    call_id: _Id


class CallStarted(NormalizedEvent):
    """A call started ringing or was dialled. `from_e164` is null for a withheld caller.

    Either number is null for an extension, a short code or a `sip:` address: it is, as received, in the event's header
    `ce_fromnumber` or `ce_tonumber`.
    """

    direction: Annotated[Literal["inbound", "outbound", "internal"], Shown.WORD]
    from_e164: _E164 | None
    to_e164: _E164 | None
    queue_id: _Id | None
    agent_ref: _Id | None


class CallEnded(NormalizedEvent):
    """A call is over. `duration_sec` is in seconds."""

    duration_sec: Annotated[int, Field(ge=0, le=INT64_MAX), Shown.COUNT]
    hangup_cause: Words
    disposition: Words


class RecordingReady(NormalizedEvent):
    """A recording, and perhaps its transcript, can be fetched."""

    recording_id: _Id
    recording_url: Url
    transcript_text: Annotated[str | None, Shown.HIDDEN]
    transcript_lang: Annotated[str | None, Shown.WORD]
