"""`make bench` at a tiny size: it runs, verifies what it counts, and cleans up. Never a time."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.children import ROOT

RECORDS = 5000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run wrote, by part; it starts servers of its own, whatever the other tests use."""
    directory = tmp_path_factory.mktemp("results")
    sizes = ["--scale", str(RECORDS / 1_000_000), "--rounds", "1", "--seconds", "1", "--peers", "light"]
    parts = ["--only", "ingress,processor,latency", "--results", str(directory)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_") and name != "ONLY"}
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks", *sizes, *parts],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}


def test_every_part_gave_figures_of_every_program(results: dict[str, Any]) -> None:
    assert results.keys() == {"ingress", "processor", "latency"}
    rows = [row for result in results.values() for row in result["rows"]]
    assert {row["name"] for row in rows} == {"ours", "bare", "aiokafka", "confluent"}
    assert [row["failures"] for row in rows if row["failures"]] == []


def test_processor_passed_the_whole_backlog(results: dict[str, Any]) -> None:
    (row,) = results["processor"]["rows"]

    assert row["median"]["records"] == RECORDS
    assert row["median"]["rate"] > 0


def test_cpu_of_every_process_is_known(results: dict[str, Any]) -> None:
    medians = [row["median"] for row in results["ingress"]["rows"]]
    assert all(median[f"cpu_{name}"] > 0 for median in medians for name in ("program", "generator"))


def test_results_say_what_they_were_measured_with(results: dict[str, Any]) -> None:
    for result in results.values():
        about = result["about"]
        assert about["settings"]["scale"] == RECORDS / 1_000_000
        assert about["machine"]["cores"] == os.cpu_count()
        assert {"python", "kafka", "aiokafka"} <= about["versions"].keys()
        assert len(about["commit"]) >= 7
