"""Writes the OpenAPI description of the ingress: `python -m ingress.openapi [--check]`.

The code is the source: endpoints, models as received, every refusal. The file, schemas/openapi.json, is for who sends.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ingress.authenticate import Refused
from ingress.dialects import specification
from ingress.http import problems
from ingress.http.answers import JSON_TYPE, PROBLEM_TYPE, REQUEST_ID_HEADER, Problem
from schemas.events import PATH_PREFIX, EventType

FILE = Path(__file__).parents[1] / "schemas" / "openapi.json"
REF = "#/components/schemas/{model}"
NULLABLE_STRING = {"type": ["string", "null"]}

_ACCEPTED = {
    "type": "object",
    "description": "The webhook is durable. `dead_lettered`: it has no place in the log; sending it again is of no use",
    "properties": {
        "status": {"enum": ["accepted", "dead_lettered"]},
        "request_id": {"type": "string", "format": "uuid"},
        "event_id": {**NULLABLE_STRING, "description": "null when the body lacks what it is made of"},
        "idempotency_key": {**NULLABLE_STRING, "description": "null when the body lacks what it is made of"},
        "reason": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        },
    },
    "required": ["status", "request_id", "event_id", "idempotency_key"],
}


def document() -> dict[str, Any]:
    """Describe the ingress (OpenAPI 3.1)."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ringover webhooks",
            "version": "1",
            "description": "Each authentic webhook answered 202 is stored durably and becomes one event. One that was "
            "answered 503, or not at all, may be sent again: what was stored twice comes out once.",
        },
        "paths": {PATH_PREFIX + event.slug: {"post": _operation(event)} for event in EventType},
        "components": {
            "schemas": {**_bodies(), "Accepted": _ACCEPTED, "Problem": _problem_schema()},
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": specification.SIGNATURE_HEADER,
                    "description": "HMAC-SHA256 of the body's bytes with an active secret, in hex (any case), Base64 "
                    "or Base64url (padding optional), with or without "
                    f"`{specification.SIGNATURE_PREFIX}`. When it is there it decides alone.",
                },
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def refusals() -> dict[HTTPStatus, dict[str, str]]:
    """List every problem that a sender may meet, by status: code -> detail."""
    found: dict[HTTPStatus, dict[str, str]] = defaultdict(dict)
    for value in vars(problems).values():
        if isinstance(value, Problem):
            found[value.status][value.code] = value.detail
    for value in vars(specification).values():
        if isinstance(value, Refused):
            found[HTTPStatus.UNAUTHORIZED][value.code] = value.detail
    return dict(sorted(found.items()))


def _operation(event: EventType) -> dict[str, Any]:
    headers = {REQUEST_ID_HEADER: {"schema": {"type": "string", "format": "uuid"}, "required": True}}
    accepted = {JSON_TYPE: {"schema": {"$ref": REF.format(model="Accepted")}}}
    responses: dict[str, Any] = {"202": {"description": "Stored durably", "headers": headers, "content": accepted}}
    for status, codes in refusals().items():
        responses[str(status.value)] = _refusal(status, codes, headers)
    return {
        "operationId": event.slug,
        "summary": f"Take a {event.value}",
        "description": "A body that does not fit the schema is stored all the same and becomes a dead letter.",
        "security": [{"signature": []}, {"token": []}],
        "parameters": [
            {
                "name": REQUEST_ID_HEADER,
                "in": "header",
                "required": False,
                "description": "Kept and echoed when it is a UUID, otherwise replaced.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {JSON_TYPE: {"schema": {"$ref": REF.format(model=event.received.__name__)}}},
        },
        "responses": responses,
    }


def _refusal(status: HTTPStatus, codes: dict[str, str], headers: dict[str, Any]) -> dict[str, Any]:
    described = "; ".join(f"`{code}`: {detail}" for code, detail in codes.items())
    content = {
        PROBLEM_TYPE: {
            "schema": {
                "allOf": [
                    {"$ref": REF.format(model="Problem")},
                    {"properties": {"code": {"enum": list(codes)}, "status": {"const": status.value}}},
                ]
            }
        }
    }
    return {"description": described, "headers": headers, "content": content}


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Problem details (RFC 9457); machines read `code`",
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "request_id": {"type": "string", "format": "uuid"},
        },
        "required": ["type", "title", "status", "detail", "code", "request_id"],
    }


def _bodies() -> dict[str, Any]:
    """The models as received; `event` is judged apart from them, so it is added here."""
    _, generated = TypeAdapter.json_schemas(
        [(event, "validation", TypeAdapter(event.received)) for event in EventType], ref_template=REF
    )
    schemas: dict[str, Any] = generated["$defs"]
    for event in EventType:
        schema = schemas[event.received.__name__]
        schema["properties"] = {"event": {"const": event.value}, **schema["properties"]}
        schema["required"] = ["event", *schema["required"]]
    return schemas


def main(arguments: Sequence[str] | None = None, *, file: Path = FILE) -> int:
    """Write the file, or only compare it with `--check`; exit code 1 when it differs from the code."""
    parser = argparse.ArgumentParser(prog="python -m ingress.openapi", description="OpenAPI description of the ingress")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not up to date")
    check: bool = parser.parse_args(arguments).check
    wanted = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") == wanted:
        return 0
    if check:
        sys.stderr.write(f"{file.name} is not up to date: run `python -m ingress.openapi`\n")
        return 1
    file.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
