"""`python -m tests.support.fourth_event_facts`: prints as JSON what this code's parts make of `call.voicemail`."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
from prometheus_client import CollectorRegistry, generate_latest

import schemas
from ingress.accept import ToRaw, accept
from ops.calls.model import CallRecords, TopicRecord
from ops.calls.plan import plan_replay
from ops.calls.timeline import build
from ops.kit.claims import ClaimRow, of_call
from ops.kit.masking import masked_body, shown_fields
from ops.kit.output import json_bytes
from ops.send.cli import ALL, _webhooks
from ops.state.read import candidates
from ops.topics.plan import wanted_topics
from processors.decide import decide
from processors.metrics import ProcessorMetrics
from processors.model import Batch, Normalized, Owner
from processors.normalize import normalize
from sandbox.demo.workload import specification_steps
from schemas.events import EventType
from schemas.topics import TopicNames
from tests.support.broker import StoredRecord
from tests.support.fourth_event import NAME, SLUG, WEBHOOK
from tests.support.kafka import raw_headers

NAMES = TopicNames()


def facts() -> dict[str, object]:
    event_type = EventType(NAME)
    key = WEBHOOK.key.encode()
    stored = StoredRecord(offset=7, timestamp=1000, key=key, value=WEBHOOK.body, headers=raw_headers(SLUG))
    verdict = normalize(stored, source=f"{NAMES.raw}/2")
    assert isinstance(verdict, Normalized)
    accepted = accept(event_type, WEBHOOK.body)
    assert isinstance(accepted, ToRaw)
    withheld = normalize(
        StoredRecord(
            offset=8,
            timestamp=1000,
            key=key,
            value=WEBHOOK.body.replace(b"+33601020304", b"204"),
            headers=raw_headers(SLUG),
        ),
        source="raw/2",
    )
    assert isinstance(withheld, Normalized)
    decision = decide(
        Batch(2, 7, 8, [verdict]),
        {verdict.claim_key: Owner(2, 7, verdict.content_hash)},
        topics=NAMES,
        group="group",
    )
    condition, parameters = of_call(WEBHOOK.key)
    return {
        "root": str(Path(schemas.__file__).parents[1]),
        "value": json.loads(verdict.value),
        "headers": {name: value.decode() for name, value in verdict.headers},
        "claim_key": verdict.claim_key,
        "withheld": dict(withheld.headers).get("ce_fromnumber", b"").decode(),
        "answered_key": accepted.idempotency_key,
        "decided": {topic: len(records) for topic, records in decision.outputs.items()},
        "series": generate_latest(_registry()).decode().count(f'type="{NAME}"'),
        "sent": [webhook.endpoint for webhook in _webhooks(ALL, None, None)],
        "demo": [step.key for step in specification_steps() if step.webhook.endpoint == SLUG],
        "key_readings": candidates(f"ringover:{NAME}:a:b:c"),
        "erased": {"condition": condition.as_string(None), "parameters": parameters},
        "masked_event": shown_fields(verdict.value, reveal=False),
        "masked_body": masked_body(json.loads(WEBHOOK.body)),
        "topics": [topic.name for topic in wanted_topics(NAMES, partitions=None, replication_factor=1)],
        "read": NAMES.outputs,
        **_of_call(stored, verdict),
    }


def _of_call(stored: StoredRecord, verdict: Normalized) -> dict[str, object]:
    """What `calls show` and `calls replay` make of the records of a call with a voicemail."""
    topic = NAMES.of(verdict.event_type.topic)
    counts = dict.fromkeys((NAMES.raw, *NAMES.outputs), 3)
    raw = TopicRecord(NAMES.raw, 2, stored.offset, stored.timestamp, stored.key, stored.value, stored.headers)
    output = TopicRecord(topic, 2, 4, stored.timestamp, stored.key, verdict.value, verdict.headers)
    claim = ClaimRow(verdict.claim_key, 2, stored.offset, datetime.fromtimestamp(1, UTC), verdict.content_hash, 1)
    found = CallRecords(WEBHOOK.key, NAMES.raw, 2, 0, counts, {2: 8}, {2: 8}, [raw], [output], [claim], frozenset())
    timeline = build(found, since="30d")
    (webhook,) = orjson.loads(json_bytes(timeline))["webhooks"]
    plan = plan_replay(timeline, NAMES)
    return {
        "shown": {name: webhook[name] for name in ("verdict", "event_type", "remark", "events")},
        "replayed": [(event.topic, json.loads(event.event.value)) for event in plan.events],
    }


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessorMetrics(registry)
    return registry


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(), default=list))
