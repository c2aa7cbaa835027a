"""Run tests on a copy of the project, with one rule taken out or none."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.rules import Edit

ROOT = Path(__file__).parents[2]
COPIED = ("schemas", "runtime", "ingress", "processors", "ops", "sandbox", "tests", "docs")
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")
SECONDS = 800  # for a machine that does ten other things
# An error like these says that the edit broke the code, not that a test has noticed what it does.
BROKEN = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "TypeError", "AttributeError")


@dataclass(frozen=True, slots=True)
class Report:
    """How each test of a run ended: `passed`, or the first line of its failure; `errors` are not test failures."""

    outcomes: dict[str, str]
    errors: list[str]
    text: str

    @property
    def failed(self) -> dict[str, str]:
        return {test: outcome for test, outcome in self.outcomes.items() if outcome != "passed"}


def copy_project(target: Path, edits: Iterable[Edit] = ()) -> None:
    """Everything that tests need, with the edits made.

    Raises:
        ValueError: the text that an edit replaces is not there exactly once.
    """
    leave_out = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=leave_out)
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)
    for edit in edits:
        path = target / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.file} has this text {text.count(edit.old)} times, not once:\n{edit.old}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def run_tests(copy: Path, tests: Iterable[str], environment: dict[str, str]) -> Report:
    """Run tests of a copy, with this interpreter, on the copy's code."""
    results = copy / "results.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutations.imported", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--junitxml={results}", "-o", "junit_family=xunit1", *tests],
        cwd=copy,
        env={**os.environ, **environment, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    text = done.stdout + done.stderr
    if done.returncode not in (0, 1):  # no tests, an error of collection, a wrong import
        return Report({}, [f"pytest ended with {done.returncode}"], text)
    return _report(results, text)


def _report(results: Path, text: str) -> Report:
    outcomes: dict[str, str] = {}
    errors: list[str] = []
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - written by our own pytest
        name = f"{case.get('file')}::{case.get('name')}"
        failure, error = case.find("failure"), case.find("error")
        outcomes[name] = "passed" if failure is None else (failure.get("message") or "").partition("\n")[0]
        if error is not None:
            errors.append(f"{name}: {error.get('message')}")
        elif case.find("skipped") is not None:
            errors.append(f"{name}: skipped")
        elif outcomes[name].startswith(BROKEN):
            errors.append(f"{name}: {outcomes[name]}")
    return Report(outcomes, errors, text)
