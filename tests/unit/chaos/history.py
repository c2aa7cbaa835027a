"""A run without a fault in it, made with the reference model: what the mutations of the checker's tests start from."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from schemas.dead_letter import Code, Origin, Reason, Stage, reason_headers
from schemas.events import EventType
from schemas.headers import RawHeaders
from schemas.identity import claim_key
from tests.chaos.calls import Send, calls
from tests.chaos.checker import History
from tests.chaos.journal import Answer, Attempt, Delivery
from tests.support.comparison import Left, Letter, State, log_ends
from tests.support.reference_model import Raw, expected

TOPIC = "ringover.raw.v1"
GROUP = "ringover-normalizer"
PARTITIONS = 3
SEED = 3  # of calls that have every kind of webhook among the first few hundred
UNKEYED = {b"{", b"[]", b'{"event":"call.started"}'}  # of traffic.GARBAGE: the ingress makes these dead letters


def correct(count: int = 300) -> History:
    """So many calls, sent one after another, each webhook stored at once."""
    sends = [send for call in islice(calls(SEED, rate=100), count) for send in call.sends]
    deliveries = [_delivery(send, number) for number, send in enumerate(sends)]
    return after(deliveries, stored(deliveries))


def stored(deliveries: Sequence[Delivery]) -> list[Raw]:
    """The raw log that a perfect ingress makes of them."""
    ends: Counter[int] = Counter()
    raw = []
    for delivery in deliveries:
        if delivery.answer is Answer.ACCEPTED:
            partition = zlib.crc32(delivery.key.encode()) % PARTITIONS
            headers = tuple(_headers(delivery))
            raw.append(Raw(partition, ends[partition], delivery.key.encode(), delivery.body, headers))
            ends[partition] += 1
    return raw


def after(deliveries: Sequence[Delivery], raw: Sequence[Raw]) -> History:
    """What perfect processors leave of this raw log."""
    raw = sorted(raw, key=lambda record: (record.partition, record.offset))
    model = expected(raw, TOPIC)
    letters = [
        Letter(
            one.raw.partition,
            one.raw.key,
            one.raw.value,
            (*one.raw.headers, *_reason(one.code, Origin(TOPIC, one.raw.partition, one.raw.offset, GROUP))),
        )
        for one in model.dead_letters
    ]
    letters += [
        Letter(0, None, delivery.body, (*_headers(delivery), *_reason("not_json", None)))
        for delivery in deliveries
        if delivery.answer is Answer.DEAD_LETTERED
    ]
    claims = {claim_key(EventType(identity[0]), *identity[1:]): place for identity, place in model.owners.items()}
    ends = log_ends(raw)
    return History(
        raw_topic=TOPIC,
        deliveries=deliveries,
        left=Left(raw, model.events, letters, State(claims, model.conflicts, ends), ends),
        commits={partition: [0, end // 2, end] for partition, end in ends.items()},
        undecided={f"{TOPIC}/{partition}": 0 for partition in ends},
        drained=1.0,
    )


def changed(history: History, **parts: object) -> History:
    """The history with other parts of what is left."""
    return replace(history, left=replace(history.left, **parts))  # type: ignore[arg-type]  # any part


def _delivery(send: Send, number: int) -> Delivery:
    answer = Answer.DEAD_LETTERED if send.webhook.body in UNKEYED else Answer.ACCEPTED
    delivery = Delivery(send.request_id, send.webhook.slug, send.webhook.key, send.webhook.body)
    delivery.answer = Answer.UNAUTHENTICATED if send.forged else answer
    delivery.attempts.append(Attempt(number, number + 0.5, 401 if send.forged else 202))
    return delivery


def _headers(delivery: Delivery) -> list[tuple[str, bytes]]:
    return RawHeaders(
        request_id=delivery.request_id,
        endpoint=delivery.slug,
        received_at="2026-01-02T15:00:00.000Z",
        auth_scheme="hmac",
        auth_key_id="test",
        content_type="application/json",
    ).encode()


def _reason(code: str, origin: Origin | None) -> list[tuple[str, bytes]]:
    stage = Stage.ACCEPT if origin is None else Stage.NORMALIZE
    return reason_headers(Reason(stage, Code(code), "a sentence"), origin)
