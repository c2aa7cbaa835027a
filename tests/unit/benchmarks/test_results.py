"""From rounds to results, tables, targets and the page."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import page, results, targets
from benchmarks.bench import Bench, Subject, interleave
from benchmarks.database import Databases
from benchmarks.errors import BenchError
from benchmarks.kafka import Kafka, differing
from benchmarks.plan import PARTS, Plan, chosen_parts
from benchmarks.servers import Servers
from benchmarks.stats import Figures
from benchmarks.tables import Table, tables


@pytest.fixture
def bench() -> Bench:
    """A run without servers."""
    nothing = cast("Servers", None), cast("Kafka", None), cast("Databases", None)
    return Bench(Plan(), *nothing, lambda _line: None, time.monotonic() + 60)


def test_rounds_are_taken_in_turn_and_a_failing_peer_loses_nothing_else(bench: Bench) -> None:
    order: list[str] = []

    def good(number: int) -> Figures:
        order.append(f"ours {number}")
        return {"rate": float(number)}

    def bad(number: int) -> Figures:
        order.append(f"peer {number}")
        if number == 2:
            raise BenchError("it died")
        return {"rate": 10.0 * number}

    ours, peer = interleave(bench, [Subject("ours", "ours", True, good), Subject("peer", "a peer", False, bad)], 3)

    assert order == ["ours 1", "peer 1", "ours 2", "peer 2", "ours 3", "peer 3"]
    assert ours.as_json()["median"] == {"rate": 2.0}
    assert peer.as_json()["median"] == {"rate": 20.0}
    assert peer.failures == ["round 2: it died"]


def test_what_has_not_begun_when_the_time_is_over_is_said_to_be_left_out(bench: Bench) -> None:
    over = Bench(bench.plan, bench.servers, bench.kafka, bench.databases, bench.say, deadline=0)

    (row,) = interleave(over, [Subject("ours", "ours", True, lambda _number: {"rate": 1.0})], 1)

    assert row.rounds == {}
    assert "not begun" in row.failures[0]


@pytest.mark.parametrize(
    ("found", "times", "difference"),
    [
        ({b"a": 1, b"b": 1}, 1, None),
        ({b"a": 2, b"b": 2}, 2, None),
        ({b"a": 1}, 1, "1 keys missing, 0 that must not be there, 0 not exactly 1 times"),
        ({b"a": 1, b"b": 2}, 1, "0 keys missing, 0 that must not be there, 1 not exactly 1 times"),
        ({b"a": 1, b"b": 1, b"c": 1}, 1, "0 keys missing, 1 that must not be there, 0 not exactly 1 times"),
    ],
)
def test_output_counts_only_when_it_holds_every_key_and_nothing_else(
    found: dict[bytes, int], times: int, difference: str | None
) -> None:
    assert differing(Counter(found), {b"a", b"b"}, times=times) == difference


def test_parts_are_chosen_by_name_in_their_own_order() -> None:
    assert chosen_parts("") == PARTS
    assert chosen_parts("latency, ingress") == ("ingress", "latency")
    with pytest.raises(ValueError, match="no part nonsense"):
        chosen_parts("nonsense")


def test_scale_is_in_the_settings_and_in_the_command() -> None:
    plan = Plan(scale=0.1, parts=("ingress",), rounds=1)

    assert plan.records == 100_000
    assert plan.settings()["scale"] == 0.1
    assert results.command(plan) == "make bench ONLY=ingress BENCH_SCALE=0.1 BENCH_ROUNDS=1"
    assert results.command(Plan()) == "make bench"


def test_largest_table_can_be_bounded() -> None:
    assert Plan().growth_claims == (1_000_000, 10_000_000, 50_000_000)
    assert Plan(most_claims=10_000_000).growth_claims == (1_000_000, 10_000_000)


ABOUT = {
    "begun": "2026-11-25T20:00:00+00:00",
    "command": "make bench",
    "commit": "abc",
    "dirty": False,
    "machine": {"processor": "P", "cores": 2, "memory_gib": 24, "system": "Linux", "generator": "wrk"},
    "versions": {"python": "3.11"},
    "settings": Plan().settings() | {"parts": list(PARTS)},
}


def row(name: str, median: Figures, *, failures: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "ours": name == "ours",
        "median": median,
        "rounds": {"1": median} if median else {},
        "failures": list(failures),
    }


def ingress() -> dict[str, Any]:
    figures = {"p50_ms": 3.0, "p99_ms": 8.0, "cpu_program": 4.0, "cpu_broker": 1.0, "cpu_generator": 2.0}
    rows = [
        row("ours", figures | {"rate": 16_000.0}),
        row("bare", figures | {"rate": 20_000.0}),
        row("fastapi", {}, failures=("round 1: it died",)),
    ]
    return {"part": "ingress", "about": ABOUT, "rows": rows, "half": [row("ours", {"p99_ms": 9.0, "rate": 8000.0})]}


def test_table_has_ratios_and_says_which_peer_failed() -> None:
    full, half = tables({"ingress": ingress()})["ingress"]

    assert [cells[:3] for cells in full.rows] == [
        ("ours", "16,000", "-"),
        ("bare", "20,000", "0.80"),
        ("fastapi: failed", "-", "-"),
    ]
    assert half.rows == (("ours", "8,000", "-", "9.0", "-"),)
    assert page.failures(ingress()) == ["fastapi, round 1: it died"]


def test_every_row_of_a_table_has_all_columns() -> None:
    for of_part in tables({"ingress": ingress()}).values():
        for table in of_part:
            assert {len(cells) for cells in table.rows} == {len(table.columns)}


def test_target_is_met_missed_or_not_measured() -> None:
    found = {cells[0]: cells[1:] for cells in targets.targets({"ingress": ingress()}).rows}

    assert found["ingress: requests/s by those of bare aiohttp"] == ("≥ 0.8", "0.80", "yes")
    assert found["ingress: requests/s by aiohttp + aiokafka"] == ("≥ 1.25", "-", "-")
    assert found["ingress: p99 at half of the maximum, ms"] == ("≤ 15", "9.00", "yes")


def test_failure_of_ours_makes_a_part_incomplete_and_one_of_a_peer_does_not() -> None:
    measured = ingress()
    assert results.complete(measured)

    measured["rows"][0]["failures"] = ["round 2: it died"]
    assert not results.complete(measured)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    measured = {"rows": [row("ours", {"rate": 16_000.0})], "half": []}

    results.write(tmp_path, "ingress", ABOUT, measured)

    assert results.read(tmp_path) == {"ingress": {"part": "ingress", "about": ABOUT, **measured}}
    assert [path.name for path in tmp_path.iterdir()] == ["ingress.json"]


def test_numbers_are_kept_to_six_digits() -> None:
    assert json.loads(results.rounded('{"rate": 12345.678912, "count": 5}')) == {"rate": 12345.7, "count": 5}


def test_only_what_stands_between_the_marks_is_written_anew() -> None:
    text = "before\n<!-- bench:targets -->\nold\n<!-- /bench:targets -->\nafter\n"

    assert page.rendered(text, {"targets": "| new |"}) == text.replace("old", "| new |")
    with pytest.raises(ValueError, match="the page has no"):
        page.rendered(text, {"elsewhere": "x"})


def test_markdown_aligns_numbers() -> None:
    assert Table("t", ("what", "rate"), (("ours", "5"),)).markdown() == "| what | rate |\n| --- | ---: |\n| ours | 5 |"


def test_page_has_a_place_for_every_part() -> None:
    text = page.PAGE.read_text(encoding="utf-8")

    for name in (*PARTS, "targets", "machine"):
        assert page.rendered(text, {name: "x"}) != text, name


def test_page_is_what_the_results_say() -> None:
    text = page.PAGE.read_text(encoding="utf-8")

    assert page.rendered(text, page.sections(results.read(page.RESULTS))) == text, "run `make bench-docs`"
