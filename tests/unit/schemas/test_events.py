"""The rows of events: what a fourth one takes, and that everything then knows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.events import ENDPOINTS, EventType
from schemas.identity import claim_key, claim_keys_of_call
from schemas.topics import EVENT_TOPICS
from tests.support import fourth_event
from tests.support.fourth_event import EXPECTED, GENERATED, NAME, SLUG, WRITTEN

KEY = f"ringover:{NAME}:ro_call_123:ro_vm_9"
MOST_FILES, MOST_MODULES = 8, 3
MASKED = {
    "call_id": "ro_call_123",
    "voicemail_id": "ro_vm_9",
    "from_e164": "•••0304",
    "voicemail_text": "•••",
    "duration_sec": 12,
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fourth")
    fourth_event.write(path)
    return path


@pytest.fixture(scope="module")
def facts(copy: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fourth_event.run(copy, "-m", "tests.support.fourth_event_facts"))
    assert found["root"] == str(copy), "it is about the copy"
    return found


def test_every_event_has_a_topic_of_events_and_every_such_topic_has_one() -> None:
    assert {event.topic.name for event in EventType} == {topic.name for topic in EVENT_TOPICS}


def test_endpoints_names_and_models_are_not_shared() -> None:
    assert len(ENDPOINTS) == len({event.received for event in EventType}) == len(EventType)
    assert len({event.normalized for event in EventType}) == len(EventType)


@pytest.mark.parametrize("call_id", ["a", "a:b", "100%", ":"])
def test_the_keys_of_a_call_are_its_own_and_nobody_elses(call_id: str) -> None:
    keys = claim_keys_of_call(call_id)

    def has(key: str) -> bool:
        return key in keys.exact or any(first <= key < beyond for first, beyond in keys.ranges)

    for event in EventType:
        part = None if event.part is None else "r:1"
        assert has(claim_key(event, call_id, part))
        assert not any(has(claim_key(event, other, part)) for other in (f"{call_id}1", f"{call_id}:r", f"1{call_id}"))


def test_a_fourth_event_is_written_in_few_files(copy: Path) -> None:
    touched = fourth_event.changed(copy)

    assert touched == WRITTEN | GENERATED
    assert len(touched) <= MOST_FILES
    assert len([name for name in touched if name.endswith(".py")]) <= MOST_MODULES


def test_its_value_has_a_json_schema(copy: Path) -> None:
    schema = json.loads((copy / "schemas" / "jsonschema" / f"{NAME}.v1.json").read_text())

    assert schema["$id"] == f"urn:ringover-events:schema:{NAME}:v1"
    assert schema["required"] == list(json.loads(EXPECTED))


def test_its_endpoint_is_described(copy: Path) -> None:
    described = json.loads((copy / "schemas" / "openapi.json").read_text())

    operation = described["paths"][f"/wh/ringover/{SLUG}"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/VoicemailReceived")
    assert described["components"]["schemas"]["VoicemailReceived"]["properties"]["event"] == {"const": NAME}


def test_it_is_taken_normalized_claimed_and_emitted(facts: dict[str, Any]) -> None:
    assert facts["answered_key"] == facts["claim_key"] == facts["headers"]["ce_idempotencykey"] == KEY
    assert facts["value"] == json.loads(EXPECTED)
    assert facts["headers"]["ce_type"] == NAME
    assert facts["decided"] == {"ringover.recording.v1": 1}
    assert facts["withheld"] == "204"
    assert facts["series"] > 0


def test_it_is_sent_and_demonstrated(facts: dict[str, Any]) -> None:
    assert SLUG in facts["sent"]
    assert facts["demo"] == [KEY, KEY]


def test_it_is_shown_and_replayed(facts: dict[str, Any]) -> None:
    (event,) = facts["shown"].pop("events")

    assert facts["shown"] == {"verdict": "event", "event_type": NAME, "remark": None}
    assert (event["type"], event["fields"]) == (NAME, MASKED)
    assert facts["replayed"] == [["ringover.recording.v1", json.loads(EXPECTED)]]


def test_it_is_masked(facts: dict[str, Any]) -> None:
    assert facts["masked_event"] == MASKED
    assert facts["masked_body"] == {
        "event": NAME,
        "timestamp": "2026-01-02T15:08:00.000Z",
        "call": {"id": "ro_call_123", "from": "•••0304"},
        "voicemail": {"id": "ro_vm_9", "text": "•••", "seconds": 12},
    }


def test_it_is_erased_and_its_key_is_read(facts: dict[str, Any]) -> None:
    parameters = facts["erased"]["parameters"]
    ranges = [(parameters[f"first{number}"], parameters[f"beyond{number}"]) for number in range(2)]

    assert any(first <= KEY < beyond for first, beyond in ranges)
    assert all(f"%({name})s" in facts["erased"]["condition"] for name in parameters)
    assert f"ringover:{NAME}:a%3Ab:c" in facts["key_readings"]


def test_its_topic_is_made_and_read(facts: dict[str, Any]) -> None:
    (topic,) = facts["decided"]

    assert topic in facts["topics"]
    assert topic in facts["read"]
