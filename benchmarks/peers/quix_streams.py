"""Normalizes and deduplicates the raw topic by Quix Streams, exactly once with state in RocksDB, until SIGTERM."""

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import Any

import orjson
from quixstreams import Application, State, message_context

E164 = re.compile(r"\+[1-9][0-9]{5,14}")
ENDED = ("duration_sec", "hangup_cause", "disposition")

Headers = list[tuple[str, bytes]]
Event = tuple[bytes, Headers]


def normalized(body: bytes) -> tuple[str, Event]:
    """The idempotency key of a webhook, and its event.

    Raises:
        ValueError, KeyError: not a valid one; the benchmark has none.
    """
    webhook: dict[str, Any] = orjson.loads(body)
    event, timestamp, call = webhook["event"], webhook["timestamp"], webhook["call"]
    value = started(call) if event == "call.started" else ended(call)
    key = f"ringover:{event}:{call['id']}"
    return key, (orjson.dumps(value), headers(event, call["id"], timestamp, key))


def started(call: dict[str, Any]) -> dict[str, Any]:
    """Make the value of a `call.started`."""
    if not E164.fullmatch(call["from"]) or not E164.fullmatch(call["to"]):
        raise ValueError("not an E.164 number")
    agent = call.get("agent")
    return {
        "call_id": call["id"],
        "direction": call["direction"],
        "from_e164": call["from"],
        "to_e164": call["to"],
        "queue_id": call.get("queue_id"),
        "agent_ref": agent["id"] if agent else None,
    }


def ended(call: dict[str, Any]) -> dict[str, Any]:
    """Make the value of a `call.ended`."""
    if not isinstance(call["duration_sec"], int) or call["duration_sec"] < 0:
        raise ValueError("not a duration")
    return {"call_id": call["id"], **{name: call[name] for name in ENDED}}


def headers(event: str, call_id: str, timestamp: str, key: str) -> Headers:
    """Make the CloudEvents headers."""
    place = message_context()
    moment = datetime.fromisoformat(timestamp).astimezone(UTC)
    event_id = hashlib.sha256(f"ringover|{event}|{call_id}|{timestamp}".encode()).hexdigest()
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", event.encode()),
        ("ce_source", b"ringover"),
        ("ce_dataschema", f"urn:ringover-events:schema:{event}:v1".encode()),
        ("content-type", b"application/json"),
        ("ce_id", event_id.encode()),
        ("ce_subject", call_id.encode()),
        ("ce_time", f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z".encode()),
        ("ce_idempotencykey", key.encode()),
        ("ce_sourceoffset", f"{place.topic}/{place.partition}/{place.offset}".encode()),
    ]


def first(body: bytes, state: State) -> Event | None:
    """Return the event of a webhook, or None when its key has one already."""
    key, event = normalized(body)
    if state.exists(key):
        return None
    state.set(key, 1)
    return event


def main() -> None:
    """Process until SIGTERM."""
    env = os.environ
    app = Application(
        broker_address=env["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=env["BENCH_GROUP"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.5,
        state_dir=env["BENCH_STATE_DIR"],
        loglevel="WARNING",
    )
    raw = app.topic(env["BENCH_INPUT"], value_deserializer="bytes", key_deserializer="bytes")
    events = app.topic(env["BENCH_OUTPUT"], value_serializer="bytes", key_serializer="bytes")
    frame = app.dataframe(raw).apply(first, stateful=True).filter(lambda event: event is not None)
    frame = frame.set_headers(lambda event, *_rest: event[1]).apply(lambda event: event[0])
    frame.to_topic(events)
    app.run()


if __name__ == "__main__":
    main()
