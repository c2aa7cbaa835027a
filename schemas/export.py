"""Writes the JSON Schemas of the normalized values: `python -m schemas.export [--check]`.

The files in schemas/jsonschema are for consumers in other languages; the models are the source. Patterns stay within
what ECMA 262 and Python's `re` read alike.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.events import EventType
from schemas.normalized import SCHEMA_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY = Path(__file__).with_name("jsonschema")


def documents() -> dict[str, str]:
    """File name -> text, one per normalized event type."""
    return {f"{event_type.value}.v{SCHEMA_VERSION}.json": _document(event_type) for event_type in EventType}


def differences(directory: Path, wanted: Mapping[str, str]) -> list[str]:
    """The names of files in `directory` that are missing, differ or should not be there."""
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.json")}
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def _document(event_type: EventType) -> str:
    generated = event_type.normalized.model_json_schema()
    for described in generated["properties"].values():
        described.pop("title", None)  # only says the field's name again
    schema = {
        "$schema": DIALECT,
        "$id": event_type.dataschema,
        "title": generated["title"],
        "description": generated["description"],
        "type": generated["type"],
        "properties": generated["properties"],
        "required": generated["required"],
        "additionalProperties": generated["additionalProperties"],
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None, *, directory: Path = DIRECTORY) -> int:
    """Write the files, or only compare them with `--check`; exit code 1 when they differ from the models."""
    parser = argparse.ArgumentParser(prog="python -m schemas.export", description="JSON Schemas of normalized values")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    check: bool = parser.parse_args(arguments).check
    wanted = documents()
    changed = differences(directory, wanted)
    if check:
        for name in changed:
            sys.stderr.write(f"{name} is not up to date: run `python -m schemas.export`\n")
        return 1 if changed else 0
    directory.mkdir(exist_ok=True)
    for name in changed:
        if name in wanted:
            (directory / name).write_text(wanted[name], encoding="utf-8")
        else:
            (directory / name).unlink()
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
