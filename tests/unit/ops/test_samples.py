"""The example files: complete, and the specification's ones byte for byte."""

import json
from collections import Counter
from pathlib import Path

import orjson
import pytest

from ops.send.samples import specification
from schemas.dead_letter import Code, Stage
from schemas.events import ENDPOINTS

# As printed in the customer's specification, sections 1.1 to 1.3, "Payload raw (exemple)".
SPECIFICATION = {
    "call-started": '{ "event": "call.started", "timestamp": "2026-01-02T15:00:00.000Z", "call": { "id": "ro_call_123",'
    ' "direction": "inbound", "from": "+33601020304", "to": "+33189000000", "queue_id": "ro_queue_1",'
    ' "agent": { "id": "ro_agent_77", "email": "agent@synergia.fr" } } }',
    "call-ended": '{ "event": "call.ended", "timestamp": "2026-01-02T15:05:12.000Z", "call": { "id": "ro_call_123",'
    ' "direction": "inbound", "from": "+33601020304", "to": "+33189000000", "duration_sec": 312,'
    ' "hangup_cause": "normal_clearing", "disposition": "answered", "agent": { "id": "ro_agent_77" } } }',
    "recording-ready": '{ "event": "call.recording_ready", "timestamp": "2026-01-02T15:06:00.000Z",'
    ' "call": { "id": "ro_call_123" }, "recording": { "id": "ro_rec_555",'
    ' "url": "https://provider.example/recordings/ro_rec_555.mp3", "format": "mp3" },'
    ' "transcript": { "text": "Bonjour, je souhaite prendre rendez-vous...", "language": "fr" } }',
}


EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
SAMPLES = [
    path for slug in ENDPOINTS for path in sorted((EXAMPLES / slug).glob("*.json")) if ".expected" not in path.name
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_specification_body_is_kept_byte_for_byte(endpoint: str) -> None:
    assert specification(endpoint).body == SPECIFICATION[endpoint].encode()


def test_an_unknown_endpoint_has_no_specification() -> None:
    with pytest.raises(KeyError):
        specification("../call-started")


def test_every_endpoint_has_examples_and_call_ids_are_not_shared() -> None:
    calls = Counter(json.loads(path.read_bytes())["call"]["id"] for path in SAMPLES if path.stem != "specification")

    assert {path.parent.name for path in SAMPLES} == set(ENDPOINTS)
    assert len(SAMPLES) >= 25
    assert calls.most_common(1)[0][1] == 1


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_expected_is_a_normalized_value_or_a_known_reason(path: Path) -> None:
    expected = orjson.loads(path.with_suffix(".expected.json").read_bytes())

    if "dead_letter" in expected:
        assert expected["dead_letter"].keys() == {"stage", "code"}
        Stage(expected["dead_letter"]["stage"])
        Code(expected["dead_letter"]["code"])
    else:
        model = ENDPOINTS[path.parent.name].normalized
        model.model_validate(expected)
        assert list(expected) == list(model.model_fields)
