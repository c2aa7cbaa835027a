"""Makes the webhooks that the demo posts, and says what must become of each: pure, the same at every run."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from ops.send.samples import specification
from ops.send.webhook import Webhook
from schemas.events import ENDPOINTS
from schemas.identity import IdempotencyKey, idempotency_key

RECORDING_EVERY = 5  # calls
REDELIVERY_EVERY = 20  # calls
FIRST_CALL = datetime(2026, 1, 2, 16, tzinfo=UTC)


class Fate(Enum):
    """Says what must become of a webhook."""

    EVENT = auto()
    DUPLICATE = auto()
    CONFLICT = auto()  # a duplicate whose content differs from the first
    DEAD_IN_INGRESS = auto()
    DEAD_IN_PROCESSOR = auto()
    REFUSED = auto()  # 401, stored nowhere


@dataclass(frozen=True, slots=True)
class Step:
    """Is one webhook; `key` is the idempotency key of its event or of the event it repeats."""

    webhook: Webhook
    fate: Fate
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """Counts what must be found when all is processed."""

    keys: frozenset[IdempotencyKey]
    duplicates: int
    conflicts: int
    dead_bodies: tuple[bytes, ...]
    raw_records: int

    @property
    def dead_letters(self) -> int:
        return len(self.dead_bodies)


def expected(steps: Iterable[Step]) -> Expected:
    """Sum up what must become of all webhooks."""
    steps = list(steps)
    count = Counter(step.fate for step in steps)
    dead = (Fate.DEAD_IN_INGRESS, Fate.DEAD_IN_PROCESSOR)
    return Expected(
        keys=frozenset(step.key for step in steps if step.fate is Fate.EVENT and step.key is not None),
        duplicates=count[Fate.DUPLICATE] + count[Fate.CONFLICT],
        conflicts=count[Fate.CONFLICT],
        dead_bodies=tuple(sorted(step.webhook.body for step in steps if step.fate in dead)),
        raw_records=len(steps) - count[Fate.REFUSED] - count[Fate.DEAD_IN_INGRESS],
    )


def specification_steps() -> list[Step]:
    """Make the specification's webhooks, each posted twice, and what else happens to its call."""
    first = [_step(f"{slug}", slug, specification(slug).body) for slug in ENDPOINTS]
    again = [_again(step, f"{step.webhook.endpoint}, redelivered") for step in first]
    ended, recording = (json.loads(specification(slug).body) for slug in ("call-ended", "recording-ready"))
    reemitted = recording | {"timestamp": "2026-01-02T15:20:00.000Z"}
    other = {"id": "ro_rec_556", "url": "https://provider.example/recordings/ro_rec_556.mp3", "format": "mp3"}
    second = recording | {"timestamp": "2026-01-02T15:07:00.000Z", "recording": other}
    longer = ended | {"call": ended["call"] | {"duration_sec": 999}}
    return [
        *first,
        *again,
        _again(_step("", "recording-ready", _json(reemitted)), "recording-ready, re-emitted later"),
        _step("recording-ready, second recording", "recording-ready", _json(second)),
        _again(_step("", "call-ended", _json(longer)), "call-ended, other duration", fate=Fate.CONFLICT),
    ]


def broken_steps() -> list[Step]:
    """Make a forged webhook and two that cannot become events."""
    started = json.loads(specification("call-started").body)
    call = started["call"]
    nameless = started | {"call": {name: value for name, value in call.items() if name != "id"}}
    misdialled = started | {"call": call | {"id": "ro_call_misdialled", "to": "01 89 00 00 00"}}
    forged = started | {"call": call | {"id": "ro_call_forged"}}

    def step(name: str, body: dict[str, Any], fate: Fate) -> Step:
        return Step(Webhook(name, "call-started", _json(body)), fate)

    return [
        step("call-started, bad signature", forged, Fate.REFUSED),
        step("call-started, no call id", nameless, Fate.DEAD_IN_INGRESS),
        step("call-started, invalid number", misdialled, Fate.DEAD_IN_PROCESSOR),
    ]


def generated_calls(calls: int) -> Iterator[list[Step]]:
    """Make the webhooks of each call, to be posted in this order; some have a recording, some are delivered twice."""
    for number in range(calls):
        yield _call(number)


def _call(number: int) -> list[Step]:
    call = {"id": f"demo_call_{number:06d}", "direction": "inbound", "from": f"+336{number:08d}", "to": "+33189000000"}
    begin, length = FIRST_CALL + timedelta(seconds=number), 5 + number * 37 % 900
    end = begin + timedelta(seconds=length)
    agent = {"id": f"ro_agent_{number % 50}"}
    ended_call = call | {"duration_sec": length, "hangup_cause": "normal_clearing", "disposition": "answered"}
    started = _body("call.started", begin, {"call": call | {"queue_id": "ro_queue_1", "agent": agent}})
    ended = _body("call.ended", end, {"call": ended_call | {"agent": agent}})
    steps = [_step("started", "call-started", started), _step("ended", "call-ended", ended)]
    if number % RECORDING_EVERY == 0:
        steps.append(_step("recording", "recording-ready", _recording(call["id"], end)))
    if number % REDELIVERY_EVERY == 0:
        steps.append(_again(steps[0], "started, redelivered"))
    return steps


def _recording(call_id: str, moment: datetime) -> bytes:
    recording = {"id": f"rec_{call_id}", "url": f"https://provider.example/recordings/{call_id}.mp3", "format": "mp3"}
    rest = {"call": {"id": call_id}, "recording": recording, "transcript": {"text": "Bonjour...", "language": "fr"}}
    return _body("call.recording_ready", moment, rest)


def _body(event: str, moment: datetime, rest: dict[str, Any]) -> bytes:
    timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _json({"event": event, "timestamp": timestamp} | rest)


def key_of(endpoint: str, body: bytes) -> IdempotencyKey:
    """The idempotency key of the event that a body posted to this endpoint becomes; the body must be valid."""
    content = json.loads(body)
    event_type = ENDPOINTS[endpoint]
    part_id = content[event_type.part]["id"] if event_type.part else None
    return idempotency_key(event_type, content["call"]["id"], part_id)


def _step(name: str, endpoint: str, body: bytes) -> Step:
    return Step(Webhook(name, endpoint, body), Fate.EVENT, key_of(endpoint, body))


def _again(step: Step, name: str, *, fate: Fate = Fate.DUPLICATE) -> Step:
    return Step(replace(step.webhook, name=name), fate, step.key)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def flatten(calls: Sequence[Sequence[Step]]) -> list[Step]:
    """Lists all steps of all calls."""
    return [step for call in calls for step in call]
