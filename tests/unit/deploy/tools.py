"""Programs that tests run and that are no Python packages; the Makefile fetches them into .tools."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / ".tools"


def found(name: str) -> Path | None:
    """The program, from .tools or from the machine."""
    path = shutil.which(name, path=f"{TOOLS}:{TOOLS}/pgbouncer/usr/sbin:{os.environ.get('PATH', '')}")
    return Path(path) if path else None


def needed(name: str, *, how: str) -> Path:
    """The program; without it the test is skipped with the reason, in CI it fails: there nothing may be left out."""
    path = found(name)
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{name} is not here: {how}")
    return path


def output(command: Sequence[str | Path], *, cwd: Path = ROOT) -> str:
    """What the program prints; it must end with 0."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
