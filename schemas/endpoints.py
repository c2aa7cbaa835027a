"""The webhook endpoints and the event each of them takes (contract: Ingress)."""

from schemas.identity import EventType

PATH_PREFIX = "/wh/ringover/"

# Endpoint slug (the last part of the path, also the `endpoint` header of a raw record) -> event.
ENDPOINTS: dict[str, EventType] = {
    "call-started": EventType.CALL_STARTED,
    "call-ended": EventType.CALL_ENDED,
    "recording-ready": EventType.RECORDING_READY,
}
SLUG_OF_EVENT: dict[EventType, str] = {event: slug for slug, event in ENDPOINTS.items()}
