"""Imports go one way, and libraries that reach outside stay in shells and adapters: read from the source, not run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
    "runtime.kafka_records": {"aiokafka"},
    "runtime.lifecycle": {"uvloop"},
    "runtime.otel": {"opentelemetry"},
    "runtime.postgres": {"psycopg"},
    "runtime.connection_diagnosis": {"aiokafka"},
    "runtime.topics": {"aiokafka"},
    "ingress.http.answering": {"aiohttp"},
    "ingress.http.app": {"aiohttp"},
    "ingress.handler": {"aiohttp"},
    "ingress.kafka.publisher": {"aiokafka"},
    "ingress.kafka.batches": {"aiokafka"},
    "ingress.kafka.wire": {"aiokafka"},
    "ingress.otel": {"opentelemetry"},
    "ingress.http.protocol": {"aiohttp"},
    "ingress.http.server": {"aiohttp"},
    "ingress.http.reading": {"aiohttp"},
    "ingress.http.requests": {"aiohttp"},
    "ingress.kafka.accumulator": {"aiokafka"},
    "ingress.workers": {"aiohttp"},
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
    "schemas.endpoints",
    "schemas.fields",
    "schemas.headers",
    "schemas.identity",
    "schemas.normalized",
    "schemas.placement",
    "schemas.received",
    "schemas.topics",
    "ingress.accept",
    "ingress.authenticate",
    "ingress.tracing",
    "processors.decide",
    "processors.lag",
    "processors.model",
    "processors.normalize",
    "processors.ports",
    "processors.standing",
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


def modules() -> dict[str, Path]:
    """Every module that ships, by dotted name."""
    found = {}
    for package in MAY_IMPORT:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """The full name of every module imported anywhere in a file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# Read once, while tests are collected: what each module imports.
IMPORTS = {module: frozenset(imports(path)) for module, path in MODULES.items()}


def roots(module: str) -> set[str]:
    return {name.partition(".")[0] for name in IMPORTS[module]}


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
            waiting += IMPORTS[name]

    assert seen & ADAPTERS.keys() == set()


def test_nothing_that_ships_imports_what_does_not() -> None:
    assert [module for module in MODULES if roots(module) & {"tests", "deploy", "docs", "benchmarks"}] == []


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "peers").glob("*.py")), ids=lambda path: path.stem)
def test_peers_of_the_benchmark_stand_on_nothing_of_ours(path: Path) -> None:
    names = [name for name in imports(path) if name.partition(".")[0] in OURS]

    assert [name for name in names if not name.startswith("benchmarks.peers")] == []
