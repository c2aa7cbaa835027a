"""The lowest versions that pyproject.toml allows: an environment of them passes the tests that need no server."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SECONDS = 1800  # for a machine that does ten other things
OURS = ("schemas", "runtime", "ingress", "processors", "ops")  # what stands on libraries; not how it is deployed

pytestmark = [pytest.mark.floors, pytest.mark.timeout(2 * SECONDS)]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


@pytest.fixture(scope="module")
def lowest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the lowest version of every library that pyproject.toml asks for, from the package index."""
    uv = Path(sys.executable).with_name("uv")
    environment = tmp_path_factory.mktemp("floors") / "venv"
    run(uv, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    everything = ("--group", "dev", "--editable", ".[devstack,otel]")
    run(uv, "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct", *everything)
    return python


def test_webhooks_are_answered_with_the_lowest_aiohttp_that_is_asked_for(lowest: Path) -> None:
    (asked,) = (wanted for wanted in PROJECT["project"]["dependencies"] if re.match(r"aiohttp\W", wanted))
    floor = re.search(r">=([0-9.]+)", asked)
    assert floor is not None
    installed = run(lowest, "-c", "import aiohttp; print(aiohttp.__version__)").strip()
    assert installed == floor[1]

    run(lowest, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/unit/ingress/test_connections.py")


def test_the_lowest_versions_pass_what_needs_no_server(lowest: Path) -> None:
    run(
        lowest,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not server",
        *(f"tests/unit/{one}" for one in OURS),
    )
