"""Imports go one way, and libraries that reach outside stay in shells and adapters: read from the source, not run."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.support.arrows import PACKAGES, ROOT, arrows, classes_twice, imports, measures, modules, room

# Each package stands on those it may import, and on nothing else of ours.
MAY_IMPORT = {
    "schemas": {"schemas"},
    "runtime": {"runtime", "schemas"},
    "ingress": {"ingress", "runtime", "schemas"},
    "processors": {"processors", "runtime", "schemas"},
    "ops": {"ops", "ingress", "processors", "runtime", "schemas"},
    "sandbox": {"sandbox", "ops", "ingress", "processors", "runtime", "schemas"},
}
OURS = set(MAY_IMPORT) | {"tests", "deploy", "docs", "benchmarks"}
OUTSIDE = {
    "aiohttp",
    "aiokafka",
    "psycopg",
    "psycopg_pool",
    "uvloop",
    "confluent_kafka",
    "testcontainers",
    "opentelemetry",
}
# The shells and adapters, with what each may reach. A new module here is a decision.
ADAPTERS = {
    "runtime.admin": {"aiohttp"},
    "runtime.broker_errors": {"aiokafka"},
    "runtime.kafka": {"aiokafka"},
    "runtime.aiokafka_fixes": {"aiokafka"},
    "runtime.lifecycle": {"uvloop"},
    "runtime.otel": {"opentelemetry"},
    "runtime.postgres": {"psycopg"},
    "runtime.connection_diagnosis": {"aiokafka"},
    "runtime.topics": {"aiokafka"},
    "ingress.http.answers": {"aiohttp"},
    "ingress.kafka.publisher": {"aiokafka"},
    "ingress.kafka.batches": {"aiokafka"},
    "ingress.kafka.wire": {"aiokafka"},
    "ingress.otel": {"opentelemetry"},
    "ingress.http.exchanges": {"aiohttp"},
    "ingress.http.guard": {"aiohttp"},
    "ingress.http.server": {"aiohttp"},
    "ingress.http.reading": {"aiohttp"},
    "ingress.kafka.accumulator": {"aiokafka"},
    "processors.pause": {"psycopg"},
    "processors.kafka_log": {"aiokafka"},
    "processors.kafka_offsets": {"aiokafka"},
    "processors.kafka_output": {"aiokafka"},
    "processors.kafka_transactions": {"aiokafka"},
    "processors.member": {"aiokafka"},
    "processors.otel": {"opentelemetry"},
    "processors.postgres_pool": {"psycopg", "psycopg_pool"},
    "processors.postgres_state": {"psycopg", "psycopg_pool"},
    "processors.service": {"aiokafka"},
}
# Without clock, chance, environment or files: everything comes in as an argument.
PURE = {
    "schemas.dead_letter",
    "schemas.events",
    "schemas.fields",
    "schemas.headers",
    "schemas.identity",
    "schemas.normalized",
    "schemas.placement",
    "schemas.received",
    "schemas.topics",
    "ingress.accept",
    "ingress.authenticate",
    "ingress.dialects.specification",
    "ingress.ports",
    "processors.decide",
    "processors.lag",
    "processors.model",
    "processors.normalize",
    "processors.ports",
    "processors.size",
    "processors.takeover",
    "processors.trace_selection",
}
IMPURE = {
    "time",
    "random",
    "os",
    "secrets",
    "uuid",
    "socket",
    "pathlib",
    "io",
    "sys",
    "logging",
    "asyncio",
    "structlog",
}
# The pipeline measures how long things take; it is given everything else.
NEARLY_PURE = {"processors.pipeline": IMPURE - {"time", "asyncio"}}


# Inside ops/, beside what every command takes from the kit. One command's folder imports another's only here, each with
# the reason; a new arrow is a decision, and one that is gone leaves this list.
ARROWS = {
    ("__main__", "cli"): "the entry point runs the command tree",
    ("diff", "calls"): "compares a pass by the verdicts of `calls show`",
    ("erase", "calls"): "looks for a call in the partitions where `calls show` looks",
    ("kit", "lag"): "what stands still is told in a lag",
    ("rewind", "calls"): "forecasts by the partitions of a call's outputs",
    ("rewind", "diff"): "`rewind --diff` shows what the next pass would change",
    ("top", "lag"): "shows the lag",
}
# Which rooms of ops/ and sandbox/ reach outside themselves, beside the kit.
REACHING = {
    "aiohttp": {"ops.send", "sandbox.demo"},
    "aiokafka": {
        *("ops.calls", "ops.dead_letters", "ops.diff", "ops.erase", "ops.lag", "ops.rewind", "ops.state", "ops.tail"),
        *("ops.top", "ops.topics", "sandbox.devstack"),
    },
    "psycopg": {
        *("ops.dead_letters", "ops.diff", "ops.erase", "ops.migrate", "ops.rewind", "ops.state", "ops.top"),
        "sandbox.devstack",
    },
}
# What prints: in a command's folder only cli.py and show.py have it. Plans, reads and runs return values, and are given
# what shows progress or says a line, so that a web console can stand on them, too.
PRINTS = {
    *(
        f"ops.kit.output.{name}"
        for name in ("reporting", "say", "stderr", "stdout", "write_bytes", "write_json", "write_line", "write_text")
    ),
    "ops.kit.progress.shown_progress",
    "typer",
}
# After a crash the broker's answer about a group's offsets may be outdated (docs/design.md, "Where a takeover begins").
ASKS_THE_BROKER = {"ops.kit.committed": {"committed"}, "ops.kit.groups": {"list_consumer_group_offsets"}}
MODULES = modules()


@cache
def imported_by(module: str) -> frozenset[str]:
    return frozenset(imports(MODULES[module]))


def roots(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported_by(module)}


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 40
    assert MODULES.keys() >= ADAPTERS.keys() | PURE | NEARLY_PURE.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    assert roots(module) & OURS <= MAY_IMPORT[module.partition(".")[0]]


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith(("ops", "sandbox"))])
def test_libraries_that_reach_outside_stay_in_their_adapters(module: str) -> None:
    assert roots(module) & OUTSIDE <= ADAPTERS.get(module, set())


@pytest.mark.parametrize("module", sorted(ADAPTERS))
def test_adapter_list_has_nothing_it_does_not_need(module: str) -> None:
    assert roots(module) & OUTSIDE == ADAPTERS[module]


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_module_has_no_clock_no_chance_and_no_surroundings(module: str) -> None:
    assert roots(module) & (IMPURE | OUTSIDE) == set()


@pytest.mark.parametrize("module", sorted(NEARLY_PURE))
def test_pipeline_only_measures(module: str) -> None:
    assert roots(module) & (NEARLY_PURE[module] | OUTSIDE) == set()


@pytest.mark.parametrize("module", sorted(PURE | NEARLY_PURE.keys()))
def test_pure_module_reaches_no_adapter_through_others(module: str) -> None:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in seen:
            seen.add(name)
            waiting += imported_by(name)

    assert seen & ADAPTERS.keys() == set()


def test_nothing_that_ships_imports_what_does_not() -> None:
    assert [module for module in MODULES if roots(module) & {"tests", "deploy", "docs", "benchmarks"}] == []


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "peers").glob("*.py")), ids=lambda path: path.stem)
def test_peers_of_the_benchmark_stand_on_nothing_of_ours(path: Path) -> None:
    names = [name for name in imports(path) if name.partition(".")[0] in OURS]

    assert [name for name in names if not name.startswith("benchmarks.peers")] == []


def test_class_names_are_unique_in_the_product() -> None:
    assert classes_twice() == {}


def test_arrows_between_command_folders_are_those_with_a_reason() -> None:
    found = {arrow: sorted(names) for arrow, names in arrows().items() if arrow[1] != "kit"}

    assert {arrow: names for arrow, names in found.items() if arrow not in ARROWS} == {}, "a new arrow"
    assert ARROWS.keys() - found.keys() == set(), "an arrow that is gone"


@pytest.mark.parametrize("library", sorted(OUTSIDE))
def test_rooms_that_reach_outside_are_known(library: str) -> None:
    shells = [module for module in MODULES if module.startswith(("ops.", "sandbox.")) and library in roots(module)]

    found = {".".join(module.split(".")[:2]) for module in shells}
    assert found - {"ops.kit"} == REACHING.get(library, set())


@pytest.mark.parametrize(
    "module", [module for module in MODULES if room(module) not in (None, "kit", "cli", "__main__")]
)
def test_only_options_and_displays_print(module: str) -> None:
    assert module.endswith((".cli", ".show")) or not imported_by(module) & PRINTS


def test_devstack_imports_nothing_of_ours() -> None:
    names = {name for module in MODULES if module.startswith("sandbox.devstack") for name in imported_by(module)}

    assert [name for name in names if name.partition(".")[0] in OURS and not name.startswith("sandbox.devstack")] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(("ops", "sandbox"))])
def test_how_far_a_group_is_is_asked_in_one_way(module: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call)]
    asked = {call.attr for call in calls if isinstance(call, ast.Attribute)}

    assert asked & {"committed", "list_consumer_group_offsets"} == ASKS_THE_BROKER.get(module, set())


def test_lines_files_rooms_arrows_and_classes_are_counted(tmp_path: Path) -> None:
    sources = {
        "ops/__init__.py": "",
        "ops/cli.py": "from ops.calls import read, show\nimport ops.kit.kafka\n",
        "ops/calls/read.py": "class Seen:\n    pass\n\n\ndef late():\n    from ops.kit.kafka import reader\n",
        "ops/calls/show.py": "from ops.calls.read import Seen\nfrom ingress.seen import Seen as Other\n",
        "ops/kit/kafka.py": "from ops.kit import scan\n",
        "ingress/seen.py": "class Seen:\n    class Inner:\n        pass\n\n\nclass Once:\n    pass\n",
        "tests/seen.py": "class Seen:\n    pass\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert arrows(tmp_path) == {
        ("cli", "calls"): {"ops.cli"},
        ("cli", "kit"): {"ops.cli"},
        ("calls", "kit"): {"ops.calls.read"},
    }
    assert measures(tmp_path) == {
        "product lines": 18,
        "product files": 6,
        "rooms of ops": 3,
        "arrows between rooms of ops": 3,
        "class names occurring twice": 1,
    }
    assert set(MAY_IMPORT) == set(PACKAGES)
