"""A pytest plugin of the copies' runs: what is tested is the copy, not the project it was made from."""

import importlib
from pathlib import Path

import pytest

PACKAGES = ("schemas", "runtime", "ingress", "processors", "ops", "sandbox", "tests")


def pytest_configure(config: pytest.Config) -> None:
    for name in PACKAGES:
        found = Path(importlib.import_module(name).__file__ or "").parent
        if found != config.rootpath / name:
            raise pytest.UsageError(f"{name} is imported from {found}, not from {config.rootpath}")
