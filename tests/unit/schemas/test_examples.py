"""Every example file, through the processor and through the reference model: two readings of one contract."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from processors.model import Normalized, Rejected
from processors.normalize import normalize
from schemas.export import documents
from tests.support.broker import StoredRecord
from tests.support.kafka import raw_headers
from tests.support.reference_model import Raw, expected

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
SUFFIX = ".expected.json"
BODIES = sorted(path for path in EXAMPLES.glob("*/*.json") if not path.name.endswith(SUFFIX))
EXAMPLE = pytest.mark.parametrize("body", BODIES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def wanted(body: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body.with_name(body.stem + SUFFIX).read_text(encoding="utf-8"))
    return value


def record(body: Path) -> StoredRecord:
    value = body.read_bytes()
    return StoredRecord(
        offset=7, timestamp=1_767_366_000_000, key=_key(value), value=value, headers=raw_headers(body.parent.name)
    )


def _key(value: bytes) -> bytes | None:
    try:
        call_id = orjson.loads(value.lstrip(b"\xef\xbb\xbf"))["call"]["id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return call_id.encode() if isinstance(call_id, str) else None


def test_there_are_examples_and_each_has_its_answer() -> None:
    assert len(BODIES) >= 20
    answers = {path.name for path in EXAMPLES.glob(f"*/*{SUFFIX}")}
    assert answers == {body.stem + SUFFIX for body in BODIES}


@EXAMPLE
def test_example_comes_out_as_written(body: Path) -> None:
    answer = wanted(body)

    verdict = normalize(record(body), source="ringover.raw.v1/3")

    match verdict:
        case Rejected(reason=reason):
            assert answer.keys() == {"dead_letter"}
            assert reason.code.value == answer["dead_letter"]["code"]
            assert answer["dead_letter"]["stage"] in ("normalize", "accept")  # the ingress keeps some from coming here
        case Normalized(event_type=event_type, value=value):
            assert value == orjson.dumps(answer)  # the files are in the specification's field order, too
            event_type.normalized.model_validate_json(value)
            Draft202012Validator(json.loads(documents()[f"{event_type.value}.v1.json"])).validate(json.loads(value))


@EXAMPLE
def test_reference_model_reads_the_example_alike(body: Path) -> None:
    stored, answer = record(body), wanted(body)
    assert stored.value is not None

    result = expected([Raw(3, 7, stored.key, stored.value, tuple(stored.headers))], "ringover.raw.v1")

    if "dead_letter" in answer:
        assert [dead.code for dead in result.dead_letters] == [answer["dead_letter"]["code"]]
    else:
        assert [event.value for event in result.events] == [orjson.dumps(answer)]
