"""The distribution: import names of our own, commands that exist, a wheel with everything in it and nothing else."""

import re
import tomllib
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME = "ringover-events"
PACKAGES = ["schemas", "runtime", "ingress", "processors", "ops", "sandbox"]
COMMANDS = {
    "ringover-ingress": "ingress.__main__:main",
    "ringover-processor": "processors.__main__:main",
    "ringover-ops": "ops.__main__:main",
}


def test_packages_are_the_directories() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == PACKAGES


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "deploy", "benchmarks"])
def test_import_name_belongs_to_no_other_distribution(package: str) -> None:
    # Generic names are safe in an application of its own image, as long as no dependency brings the same one.
    assert set(packages_distributions().get(package, [])) <= {NAME}


@pytest.mark.parametrize("package", PACKAGES)
def test_import_name_is_imported_from_here(package: str) -> None:
    found = import_module(package).__file__

    assert found is not None
    assert Path(found) == ROOT / package / "__init__.py"


@pytest.mark.parametrize(("command", "target"), COMMANDS.items())
def test_command_resolves(command: str, target: str) -> None:
    assert PROJECT["project"]["scripts"][command] == target
    (script,) = [found for found in distribution(NAME).entry_points if found.name == command]
    assert script.value == target
    main: Callable[[], object] = script.load()
    assert callable(main)


def test_distribution_cannot_be_published_by_mistake() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_wheel_has_code_and_data_and_no_tests(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])

    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    shipped = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("*.py", "*.sql", "*.lock")
        for path in (ROOT / package).rglob(pattern)
    }
    assert shipped <= names
    assert {"processors/queries.sql", "processors/migrations/0001_state.sql"} <= names
    assert {name for name in names if name.startswith("schemas/jsonschema/")} == {
        f"schemas/jsonschema/{event}.v1.json" for event in ("call.started", "call.ended", "call.recording_ready")
    }
    assert not {name for name in names if name.endswith((".pyc", ".log"))}


# Least versions, each with the reason: nothing below may ever be locked or asked for again.
# CVE-2026-69243 (request smuggling by Upgrade) is fixed in 3.14.3, with which no webhook is answered (tests/floors).
FLOORS = {"aiohttp": (3, 14, 4)}


def locked(lock: str) -> dict[str, str]:
    """Versions by name."""
    text = (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


def test_with_opentelemetry_is_what_runs_without_it_and_opentelemetry() -> None:
    runtime, otel = locked("runtime"), locked("otel")

    assert otel.items() > runtime.items()
    assert {name for name in otel.keys() - runtime.keys() if name.startswith("opentelemetry")}
    assert not {name for name in runtime if name.startswith("opentelemetry")}
    assert otel.items() - runtime.items() <= locked("dev").items()


@pytest.mark.parametrize("lock", ["runtime", "otel", "dev", "security"])
@pytest.mark.parametrize(("library", "floor"), FLOORS.items())
def test_no_version_with_a_known_hole_is_locked(lock: str, library: str, floor: tuple[int, ...]) -> None:
    text = (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{library}==([0-9.]+)", text, re.MULTILINE)

    assert found is not None
    assert tuple(map(int, found[1].split("."))) >= floor


@pytest.mark.parametrize(("library", "floor"), FLOORS.items())
def test_the_floor_is_asked_for(library: str, floor: tuple[int, ...]) -> None:
    (asked,) = (wanted for wanted in PROJECT["project"]["dependencies"] if wanted.startswith(f"{library}>="))

    assert asked.removeprefix(f"{library}>=").split(",")[0] == ".".join(map(str, floor))


@pytest.mark.parametrize("lock", ["runtime", "otel", "dev", "security"])
def test_every_codec_of_kafka_is_locked(lock: str) -> None:
    assert "cramjam" in locked(lock)
