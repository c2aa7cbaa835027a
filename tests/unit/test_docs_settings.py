"""docs/settings.md lists every setting of every program, as the classes have it."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ingress.settings import IngressSettings
from ops.cli import COMMANDS
from processors.settings import ProcessorSettings
from runtime.settings import Settings
from tests.support.arrows import PACKAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
COMMAND_SETTINGS = PAGE.split("\n## ringover-ops\n")[1].split("\n## ")[0]


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def bounds(field: FieldInfo) -> str:
    """The values that a field takes, as far as its type and its limits say; the validators' are told in words."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    found = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("ge", "gt", "le", "min_length")
        if getattr(limit, name, None) is not None
    }
    least = str(found["ge"]) if "ge" in found else f"more than {found['gt']}" if "gt" in found else ""
    if least and "le" in found:
        return f"{least} to {found['le']}"
    if least:
        return f"{least} or more" if "ge" in found else least
    return "not empty" if "min_length" in found else ""


def settings_of_programs() -> Iterator[type[Settings]]:
    """Every class of settings that a program of ours reads: the services', and those of all commands."""
    for entry in COMMANDS.values():
        import_module(entry.module)
    waiting = [Settings]
    while waiting:
        found = waiting.pop()
        waiting += found.__subclasses__()
        if found.__module__.partition(".")[0] in PACKAGES:
            yield found


@pytest.mark.parametrize("settings", [IngressSettings, ProcessorSettings])
def test_every_setting_has_a_row_with_its_default_its_meaning_and_its_bounds(settings: type[Settings]) -> None:
    rows = {
        name: f"| `{name.upper()}` | {default(field)} | {field.description} | {bounds(field)} |"
        for name, field in settings.model_fields.items()
    }
    assert [row for row in rows.values() if row not in PAGE] == []


def test_every_setting_of_a_command_is_named_among_those_of_commands() -> None:
    read = {
        f"`{name.upper()}`"
        for settings in settings_of_programs()
        if settings.__module__.startswith("ops.")
        for name in settings.model_fields
    }
    named = {name for name in read if name in COMMAND_SETTINGS}

    assert {name for name in read - named if not name.startswith("`KAFKA_")} == set()
    assert "`KAFKA_BOOTSTRAP_SERVERS` and every other `KAFKA_…`" in COMMAND_SETTINGS


def test_no_setting_is_listed_that_no_program_reads() -> None:
    read = {name.upper() for settings in settings_of_programs() for name in settings.model_fields}
    listed = re.findall(r"`((?:KAFKA|INGRESS|PROCESSOR|DATABASE|LOG)_[A-Z_]+[A-Z])`", PAGE)

    assert {name for name in listed if name.removesuffix("_FILE") not in read} - read == set()


def test_every_variable_that_is_read_past_the_classes_is_listed() -> None:
    named = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "os.environ" in text:
                named |= set(re.findall(r'"((?:OTEL|RINGOVER|XDG|INGRESS|PROCESSOR)_[A-Z_]*[A-Z])"', text))

    assert {name for name in named if name not in PAGE} == set()
    assert {"RINGOVER_CACHE_DIR", "OTEL_TRACES_SAMPLER"} <= named
