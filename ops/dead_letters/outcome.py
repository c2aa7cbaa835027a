"""Judges what today's code would make of a dead letter: pure."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ingress.accept import ToDeadLetter, accept
from ops.dead_letters.model import Letter
from processors.model import Normalized
from processors.normalize import normalize
from schemas.dead_letter import Code, Reason, Stage
from schemas.events import ENDPOINTS, EventType
from schemas.headers import ENDPOINT, AnyHeaders, header
from schemas.identity import ClaimKey
from schemas.topics import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class WouldBeEvent:
    """Says that it would be an event, or a duplicate if another record owns `claim_key`."""

    key: bytes
    event_type: EventType
    claim_key: ClaimKey


@dataclass(frozen=True, slots=True)
class StillBad:
    """Says that it would be a dead letter again; it can be sent all the same."""

    key: bytes | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Says that it has no place in the raw log: there is no key for it."""

    reason: Reason


OutcomeToday: TypeAlias = WouldBeEvent | StillBad | NoPlace


class _Raw(NamedTuple):
    """Holds the raw record that a replay would make, as far as the normalizer looks."""

    key: bytes | None
    value: bytes | None
    headers: AnyHeaders
    offset: int = 0
    timestamp: int = 0


def outcome_today(letter: Letter) -> OutcomeToday:
    """Run the ingress's and the processor's own decisions on the letter. Never raises."""
    body = letter.value or b""
    if len(body) > MAX_BODY_BYTES:
        return NoPlace(Reason(Stage.ACCEPT, Code.TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes"))
    key = letter.key
    if key is None:
        # A record without key that was in the raw log before can go there again; a body from the ingress needs a key.
        found = _key_today(letter, body)
        if letter.origin is None and isinstance(found, Reason):
            return NoPlace(found)
        key = found if letter.origin is None and isinstance(found, bytes) else None
        if key is None and letter.value is None:
            return NoPlace(Reason(Stage.ACCEPT, Code.NOT_JSON, "the record has neither key nor body"))
    verdict = normalize(_Raw(key, letter.value, letter.headers), source="")
    if isinstance(verdict, Normalized) and key is not None:
        return WouldBeEvent(key, verdict.event_type, verdict.claim_key)
    assert not isinstance(verdict, Normalized)  # without a key there is no event
    return StillBad(key, verdict.reason)


def _key_today(letter: Letter, body: bytes) -> bytes | Reason:
    slug = (header(letter.headers, ENDPOINT) or b"").decode(errors="replace")
    event_type = ENDPOINTS.get(slug)
    if event_type is None:
        return Reason(Stage.ACCEPT, Code.EVENT_UNKNOWN, "its headers name no endpoint of ours")
    accepted = accept(event_type, body)
    return accepted.reason if isinstance(accepted, ToDeadLetter) else accepted.call_id.encode()
