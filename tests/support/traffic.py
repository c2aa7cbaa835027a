"""Seeded webhooks: calls with their events in order, duplicates near and far, conflicts, garbage."""

import random
from collections.abc import Iterator

import orjson

from tests.support.kafka import Webhook

GARBAGE = (
    b"{",
    b"[]",
    b'{"event":"call.started"}',
    b'{"event":"call.exploded","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s"}}',
    b'{"event":"call.ended","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s","duration_sec":-1,'
    b'"hangup_cause":"x","disposition":"y"}}',
    b'{"event":"call.started","timestamp":"yesterday","call":{"id":"%s","direction":"inbound","to":"+33189000000"}}',
    b'{"event":"call.started","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s","direction":"inbound","to":"0189000000"}}',
)


def started(call_id: str, *, second: int = 0) -> Webhook:
    """A valid call.started."""
    call = {"id": call_id, "direction": "inbound", "from": "+33601020304", "to": "+33189000000", "queue_id": "q_1"}
    return _webhook("call-started", "call.started", call_id, second, {"call": call})


def ended(call_id: str, *, second: int = 60, duration: int = 60) -> Webhook:
    """A valid call.ended."""
    call = {"id": call_id, "duration_sec": duration, "hangup_cause": "normal_clearing", "disposition": "answered"}
    return _webhook("call-ended", "call.ended", call_id, second, {"call": call})


def recording(call_id: str, recording_id: str, *, second: int = 90) -> Webhook:
    """A valid call.recording_ready."""
    media = {"id": recording_id, "url": f"https://provider.example/recordings/{recording_id}.mp3"}
    return _webhook(
        "recording-ready", "call.recording_ready", call_id, second, {"call": {"id": call_id}, "recording": media}
    )


def traffic(seed: int, calls: int, *, duplicates: float = 0.1, garbage: float = 0.01) -> Iterator[Webhook]:
    """About 2.3 webhooks a call. Duplicates follow at once or up to hundreds of webhooks later; some conflict."""
    chance = random.Random(seed)
    later: list[Webhook] = []
    for number in range(calls):
        call_id = f"call-{seed}-{number}"
        webhooks = [started(call_id), ended(call_id, duration=number)]
        if chance.random() < 0.3:
            webhooks.append(recording(call_id, f"rec:{number}"))
        for webhook in webhooks:
            yield webhook
            if chance.random() < duplicates:
                again = ended(call_id, duration=number + 1) if chance.random() < 0.1 else webhook
                if chance.random() < 0.5:
                    yield again
                else:
                    later.append(again)
            if chance.random() < garbage:
                body = chance.choice(GARBAGE).replace(b"%s", call_id.encode())
                yield Webhook(webhook.slug, call_id, body)
        if later and chance.random() < 0.2:
            yield later.pop(chance.randrange(len(later)))
    yield from later


def _webhook(slug: str, event: str, call_id: str, second: int, fields: dict[str, object]) -> Webhook:
    timestamp = f"2026-01-02T15:{second // 60:02}:{second % 60:02}.000Z"
    return Webhook(slug, call_id, orjson.dumps({"event": event, "timestamp": timestamp, **fields}))
