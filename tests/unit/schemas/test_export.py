"""The JSON Schema files against the models, and against the specification with an independent validator."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from schemas.events import EventType
from schemas.export import DIRECTORY, differences, documents, main

# "Normalized" of sections 1.1, 1.2 and 1.3 of the specification, word for word.
SPECIFICATION = {
    EventType.CALL_STARTED: '{ "call_id": "ro_call_123", "direction": "inbound", "from_e164": "+33601020304", '
    '"to_e164": "+33189000000", "queue_id": "ro_queue_1", "agent_ref": "ro_agent_77" }',
    EventType.CALL_ENDED: '{ "call_id": "ro_call_123", "duration_sec": 312, "hangup_cause": "normal_clearing", '
    '"disposition": "answered" }',
    EventType.RECORDING_READY: '{ "call_id": "ro_call_123", "recording_id": "ro_rec_555", '
    '"recording_url": "https://provider.example/recordings/ro_rec_555.mp3", '
    '"transcript_text": "Bonjour, je souhaite prendre rendez-vous...", "transcript_lang": "fr" }',
}


def validator(event_type: EventType) -> Draft202012Validator:
    schema = json.loads((DIRECTORY / f"{event_type.value}.v1.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_committed_files_are_those_of_the_models() -> None:
    assert differences(DIRECTORY, documents()) == []
    assert main(["--check"]) == 0


@pytest.mark.parametrize("event_type", EventType)
def test_file_names_its_schema_as_the_events_do(event_type: EventType) -> None:
    schema = json.loads(documents()[f"{event_type.value}.v1.json"])

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == event_type.dataschema
    assert schema["title"]
    assert schema["description"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"]) == list(event_type.normalized.model_fields)


@pytest.mark.parametrize("event_type", EventType)
def test_specifications_value_is_valid_and_any_other_field_set_is_not(event_type: EventType) -> None:
    value = json.loads(SPECIFICATION[event_type])
    judge = validator(event_type)

    judge.validate(value)

    for name in value:
        with pytest.raises(ValidationError):
            judge.validate({key: value[key] for key in value if key != name})
    with pytest.raises(ValidationError):
        judge.validate(value | {"another": 1})


@pytest.mark.parametrize(
    ("event_type", "nullable"),
    [
        (EventType.CALL_STARTED, {"from_e164", "to_e164", "queue_id", "agent_ref"}),
        (EventType.CALL_ENDED, set()),
        (EventType.RECORDING_READY, {"transcript_text", "transcript_lang"}),
    ],
)
def test_exactly_the_optional_fields_may_be_null(event_type: EventType, nullable: set[str]) -> None:
    value = json.loads(SPECIFICATION[event_type])
    judge = validator(event_type)

    assert {name for name in value if judge.is_valid(value | {name: None})} == nullable


@pytest.mark.parametrize(
    "number", ["33601020304", "+033601020304", "+33", "+3360102030405060", "+33 6", "x+33601020304"]
)
def test_pattern_refuses_what_is_not_e164(number: str) -> None:
    value = json.loads(SPECIFICATION[EventType.CALL_STARTED])

    assert not validator(EventType.CALL_STARTED).is_valid(value | {"to_e164": number})


def test_patterns_mean_the_same_in_ecma_262_and_in_python() -> None:
    text = "".join(documents().values())

    patterns = {json.loads(f'"{part.partition(chr(34))[0]}"') for part in text.split('"pattern": "')[1:]}
    # Anchors, classes, bounds and the escape \\xHH, which both read the same way; no Python syntax.
    assert patterns == {"^[+][1-9][0-9]{5,14}$", r"^[^\x00-\x1f\x7f-\x9f]*$"}


@pytest.mark.parametrize("call_id", ["a\0b", "a\nb", "\x7f", "\x9f", ""])
def test_an_id_with_control_characters_or_none_at_all_is_refused(call_id: str) -> None:
    value = json.loads(SPECIFICATION[EventType.CALL_ENDED])

    assert not validator(EventType.CALL_ENDED).is_valid(value | {"call_id": call_id})


def test_check_names_what_differs_and_writing_repairs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], directory=tmp_path / "new") == 0
    directory = tmp_path / "new"
    (directory / "call.ended.v1.json").write_text("{}", encoding="utf-8")
    (directory / "call.gone.v1.json").write_text("{}", encoding="utf-8")
    (directory / "call.started.v1.json").unlink()
    capsys.readouterr()

    assert main(["--check"], directory=directory) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "call.ended.v1.json",
        "call.gone.v1.json",
        "call.started.v1.json",
    ]
    assert (directory / "call.gone.v1.json").exists()

    assert main([], directory=directory) == 0
    assert main(["--check"], directory=directory) == 0
    assert not (directory / "call.gone.v1.json").exists()
