"""What the load sends: seeded calls with their webhooks, duplicates near and far, conflicts, garbage, forgeries."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson

from tests.support.kafka import Webhook
from tests.support.traffic import GARBAGE, ended, recording, started

STORM_EVERY_SECONDS, STORM_SECONDS = 40.0, 10.0
POISON = (
    b'{"event":"call.started","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s","direction":"in\\u0000bound"}}',
    b'{"event":"call.ended","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s","duration_sec":1180591620717411303424}}',
    b'{"call":{"id":"%s"},"deep":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"event":"call.ended","timestamp":"2026-01-02T15:00:00Z","call":{"id":"%s"},"big":"' + b"x" * 60_000 + b'"}',
    b'{"event":"call.ended","timestamp":"2026-02-30T15:00:00Z","call":{"id":"%s","duration_sec":1,"hangup_cause":"a",'
    b'"disposition":"b"}}',
)
# Per webhook; duplicates are more in a storm.
DUPLICATE, DUPLICATE_IN_STORM = 0.05, 0.3
OTHER_BODY, FAR = 0.2, 0.3  # of the duplicates
BAD, FORGED = 0.01, 0.002
RECORDED = 0.3  # of the calls
FAR_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Send:
    """One webhook to be sent `after` seconds from the end of the one before; a `copy` does not hold the next one up."""

    request_id: str
    webhook: Webhook
    after: float = 0.0
    copy: bool = False
    forged: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call's webhooks; it begins so many seconds into the run."""

    begins: float
    sends: tuple[Send, ...]


def calls(seed: int, rate: float) -> Iterator[Call]:
    """Calls without end, whose webhooks come at about `rate` a second."""
    chance = random.Random(f"load {seed}")
    clock = 0.0
    for number in _numbers():
        storm = clock % STORM_EVERY_SECONDS < STORM_SECONDS
        sends = tuple(_call(chance, f"chaos-{seed}-{number}", number, storm=storm))
        clock += chance.expovariate(rate) * len(sends)
        yield Call(clock, sends)


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _call(chance: random.Random, call_id: str, number: int, *, storm: bool) -> Iterator[Send]:
    webhooks = [started(call_id), ended(call_id, duration=number)]
    if chance.random() < RECORDED:
        webhooks.append(recording(call_id, f"rec:{number}"))
    webhooks = [_named(webhook, f"{number}.{index}") for index, webhook in enumerate(webhooks)]
    for webhook in webhooks:
        # Some follow at once, as machines do; others after a while, so that a call lives through several faults.
        yield _send(chance, webhook, after=chance.choice((0.0, 0.0, 0.2, 1.0, 5.0)))
        if chance.random() < (DUPLICATE_IN_STORM if storm else DUPLICATE):
            yield _duplicate(chance, webhook, call_id, number)
        if chance.random() < BAD:
            body = chance.choice(GARBAGE + POISON).replace(b"%s", call_id.encode())
            yield _send(chance, replace(webhook, body=body))
        if chance.random() < FORGED:
            yield replace(_send(chance, _named(webhook, "forged")), forged=True)


def _duplicate(chance: random.Random, webhook: Webhook, call_id: str, number: int) -> Send:
    """The same bytes again, or the same key with another body (and, when an ended call, another content)."""
    if chance.random() < OTHER_BODY:
        other = ended(call_id, duration=number + 1) if webhook.slug == "call-ended" else webhook
        webhook = _named(other, f"{number}.other")
    after = chance.uniform(0, FAR_SECONDS) if chance.random() < FAR else 0.0
    return replace(_send(chance, webhook, after=after), copy=True)


def _send(chance: random.Random, webhook: Webhook, *, after: float = 0.0) -> Send:
    return Send(str(uuid.UUID(int=chance.getrandbits(128), version=4)), webhook, after)


def _named(webhook: Webhook, name: str) -> Webhook:
    """The webhook with a field of its own, that makes its bytes its own, too."""
    return replace(webhook, body=orjson.dumps({**orjson.loads(webhook.body), "name": name}))
