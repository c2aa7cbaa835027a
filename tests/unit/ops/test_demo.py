"""The demo's workload and its checklist: a perfect run holds, and each fault is noticed."""

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from ops.kit.record_view import RecordView
from ops.send.samples import specification
from ops.send.webhook import WebhookAnswer
from sandbox.demo.checks import check_all
from sandbox.demo.observed import Observed, SeenRecords, StateRow, rates
from sandbox.demo.run import usage
from sandbox.demo.services import Access
from sandbox.demo.workload import Fate, Step, broken_steps, expected, flatten, generated_calls, specification_steps
from schemas.dead_letter import Code, Reason, Stage, reason_headers
from schemas.events import ENDPOINTS
from schemas.headers import EventHeaders, RawHeaders
from schemas.identity import EventId, derived_event_id
from schemas.topics import TopicNames

TOPICS = TopicNames()
SCENARIO = [*specification_steps(), *broken_steps()]
CALLS = list(generated_calls(40))
STEPS = [*SCENARIO, *flatten(CALLS)]
STORED_AT = 1_767_366_000.0
SEEN_AT = STORED_AT + 0.25


def raw_record(step: Step, offset: int) -> RecordView:
    headers = RawHeaders(
        request_id="r",
        endpoint=step.webhook.endpoint,
        received_at="2026-01-02T15:00:00.000Z",
        auth_scheme="hmac",
        auth_key_id="demo",
        content_type="application/json",
    )
    return RecordView(TOPICS.raw, 0, offset, 0, b"k", step.webhook.body, headers.encode())


def event_record(step: Step, source: int) -> RecordView:
    body = orjson.loads(step.webhook.body)
    event_type = ENDPOINTS[step.webhook.endpoint]
    call_id = body["call"]["id"]
    sample = specification(step.webhook.endpoint)
    value = orjson.dumps(orjson.loads(sample.expected)) if step.webhook.body == sample.body else b"{}"
    assert step.key is not None
    headers = EventHeaders(
        event_type=event_type,
        event_id=derived_event_id(event_type, call_id, body["timestamp"]),
        subject=call_id,
        time=body["timestamp"],
        idempotency_key=step.key,
        source_offset=f"{TOPICS.raw}/0/{source}",
    )
    return RecordView(TOPICS.of(event_type.topic), 0, source, 0, b"k", value, headers.encode())


def dead_record(step: Step) -> RecordView:
    headers = reason_headers(Reason(Stage.ACCEPT, Code.CALL_ID_UNUSABLE, "m"), None)
    return RecordView(TOPICS.dead_letter, 0, 0, 0, b"k", step.webhook.body, headers)


def answer(step: Step) -> WebhookAnswer:
    if step.fate is Fate.REFUSED:
        return WebhookAnswer(step.webhook, 401, {"code": "signature_wrong"})
    body = orjson.loads(step.webhook.body)
    event_id = derived_event_id(ENDPOINTS[step.webhook.endpoint], body["call"].get("id", ""), body["timestamp"])
    return WebhookAnswer(step.webhook, 202, {"status": "accepted", "event_id": event_id})


def perfect_run() -> Observed:
    seen = SeenRecords(TOPICS)
    counts: dict[str, int] = {}
    conflicts = []
    for offset, step in enumerate(STEPS):
        if step.fate not in (Fate.REFUSED, Fate.DEAD_IN_INGRESS):
            seen.add(raw_record(step, offset), now=SEEN_AT)
        if step.fate is Fate.EVENT:
            seen.add(event_record(step, offset), now=SEEN_AT)
        if step.fate in (Fate.DEAD_IN_INGRESS, Fate.DEAD_IN_PROCESSOR):
            seen.add(dead_record(step), now=SEEN_AT)
        if step.key is not None:
            counts[step.key] = counts.get(step.key, 0) + 1
        if step.fate is Fate.CONFLICT and step.key is not None:
            conflicts.append(str(step.key))
    return Observed(
        answers=[answer(step) for step in SCENARIO],
        load_answers=[answer(step) for step in flatten(CALLS)],
        seen=seen,
        claims=[StateRow(key, records) for key, records in counts.items()],
        conflicts=conflicts,
        lag_records=0,
        posting_seconds=0.5,
    )


def failed(observed: Observed) -> list[str]:
    return [check.name for check in check_all(observed, expected(STEPS), SCENARIO) if not check.holds]


def test_a_perfect_run_passes() -> None:
    assert failed(perfect_run()) == []


def test_the_workload_holds_what_the_demo_promises() -> None:
    fates = [step.fate for step in SCENARIO]

    assert fates.count(Fate.DUPLICATE) == 4
    assert {fate for fate in Fate if fate in fates} == set(Fate)
    assert all(call[0].webhook.endpoint == "call-started" for call in CALLS)
    assert list(generated_calls(40)) == CALLS


def drop_event(observed: Observed) -> None:
    observed.seen.events.pop()


def repeat_event(observed: Observed) -> None:
    last = observed.seen.events[-1]
    observed.seen.add(last.record, now=SEEN_AT)


def change_value(observed: Observed) -> None:
    first = observed.seen.events[0]
    observed.seen.events[0] = replace(first, record=replace(first.record, value=b"{}"))


def change_event_id(observed: Observed) -> None:
    first = observed.seen.events[0]
    observed.seen.events[0] = replace(first, headers=first.headers._replace(event_id=EventId("other")))


def reverse_events(observed: Observed) -> None:
    observed.seen.events.reverse()


def lose_dead_letter(observed: Observed) -> None:
    observed.seen.dead.pop()


def store_forged(observed: Observed) -> None:
    forged = next(step for step in SCENARIO if step.fate is Fate.REFUSED)
    observed.seen.raw[-1] = raw_record(forged, 10_000)


def lose_raw_record(observed: Observed) -> None:
    observed.seen.raw.pop()


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        (drop_event, ["one event per idempotency key"]),
        (repeat_event, ["one event per idempotency key", "events in the raw log's order"]),
        (change_value, ["call.started: the specification's normalized value"]),
        (change_event_id, ["call.started: the specification's event id"]),
        (reverse_events, ["events in the raw log's order", "each of 41 calls"]),
        (lose_dead_letter, ["dead letters"]),
        (store_forged, ["a bad signature"]),
        (lose_raw_record, ["raw log"]),
    ],
)
def test_each_fault_is_noticed(fault: Callable[[Observed], None], noticed: list[str]) -> None:
    observed = perfect_run()

    fault(observed)

    names = failed(observed)
    assert len(names) == len(noticed)
    assert all(name.startswith(start) for name, start in zip(names, noticed, strict=True))


def test_a_wrong_count_in_the_state_table_is_noticed() -> None:
    observed = perfect_run()

    assert [name[:10] for name in failed(replace(observed, conflicts=[]))] == ["duplicates"]
    assert [name[:10] for name in failed(replace(observed, claims=observed.claims[1:]))] == ["duplicates"]


def test_an_unacknowledged_webhook_is_noticed() -> None:
    observed = perfect_run()
    refused = replace(observed.load_answers[0], http_status=503)

    names = failed(replace(observed, load_answers=[refused, *observed.load_answers[1:]]))

    assert len(names) == 1
    assert names[0].endswith("all authentic ones answered 202")


def test_records_left_in_the_raw_log_are_noticed() -> None:
    assert [name[:7] for name in failed(replace(perfect_run(), lag_records=1))] == ["raw log"]


def test_rates_are_of_the_generated_calls_alone() -> None:
    found = rates(perfect_run(), call_prefix="demo_call_")

    assert found.webhooks == len(flatten(CALLS))
    assert found.events == 40 * 2 + 8
    assert found.webhooks_per_second == len(flatten(CALLS)) / 0.5
    assert (found.p50_seconds, found.p99_seconds) == (0.25, 0.25)


def test_usage_can_be_pasted() -> None:
    access = Access("http://127.0.0.1:1", "s", "t", {"ingress": "http://127.0.0.1:2"}, {"DATABASE_URL": "a b"})

    text = usage(access)

    assert "export DATABASE_URL='a b'" in text
    assert "Authorization: Bearer t" in text
