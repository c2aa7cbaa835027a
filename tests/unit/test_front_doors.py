"""Libraries are used by their documented names: imports, attributes and base classes are read from the source.

What reaches inside is listed here with its reason. A new entry is a decision, and one that is gone leaves the list.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

from tests.support.arrows import ROOT, modules

MODULES = modules()
# The modules that the documentation of the two libraries names (docs.aiohttp.org, aiokafka.readthedocs.io).
DOCUMENTED = {
    *("aiohttp", "aiohttp.abc", "aiohttp.hdrs", "aiohttp.web"),
    *("aiokafka", "aiokafka.abc", "aiokafka.admin", "aiokafka.errors", "aiokafka.helpers", "aiokafka.structs"),
}
FIXES = "runtime.aiokafka_fixes"  # each patch has its test in tests/unit/runtime
#: By module of ours: the modules of theirs that are not documented, and why they are needed.
INSIDE = {
    "ingress.http.server": {
        "aiohttp.http": "tells a request that could not be read from a fault of aiohttp's",
        "aiohttp.http_parser": "refuses the parser that is written in Python; nothing else tells which one it is",
    },
    "ingress.kafka.accumulator": {
        "aiokafka.client": "sends produce requests of our own (docs/design.md, Overload)",
        "aiokafka.record.default_records": "tells how large a record will be",
    },
    "ingress.kafka.batches": {"aiokafka.record.default_records": "writes batches that belong to no producer"},
    "ingress.kafka.publisher": {"aiokafka.client": "replaces a client that broke"},
    "ingress.kafka.wire": {"aiokafka.protocol.produce": "packs produce requests"},
    "ops.kit.groups": {"aiokafka.coordinator.protocol": "reads which partitions a member of a group has"},
    "ops.kit.groups_protocol": {
        "aiokafka.protocol.abstract": "asks for groups of the newer protocol, which the client does not know",
        "aiokafka.protocol.api": "the same",
        "aiokafka.protocol.types": "the same",
    },
    "ops.kit.topics": {"aiokafka.admin.config_resource": "names the topic whose settings are asked for"},
    "processors.kafka_output": {
        "aiokafka.producer.message_accumulator": "names the type of a batch",
        "aiokafka.protocol.transaction": "tells a transaction's answers from others",
    },
    "runtime.connection_diagnosis": {
        "aiokafka.conn": "tries one broker and says what is wrong with it",
        "aiokafka.protocol.metadata": "asks that broker something",
    },
    "runtime.kafka": {"aiokafka.conn": "reads a list of brokers as the client does"},
    "runtime.topics": {"aiokafka.admin.config_resource": "names the topic whose settings are asked for"},
    "sandbox.devstack.kafka_wire": {
        "aiokafka.protocol.admin": "asks a broker whether it is up, without a client",
        "aiokafka.protocol.api": "the same",
        "aiokafka.protocol.metadata": "the same",
    },
}
#: By module of ours: the classes of theirs that it derives from, and why.
DERIVED = {
    "ingress.http.answers": {
        "web.StreamResponse": "aiohttp's own answers take half of the time (docs/design.md, Overload)"
    },
    "ingress.kafka.wire": {
        "ProduceRequest": "packs produce requests, from fields of its base class that are private",
        "ProduceRequest_v7": "the same",
        "ProduceResponse_v7": "the same",
    },
    "ops.kit.groups_protocol": {
        "AbstractType": "requests that the client does not know, written as it writes its own",
        "Request": "the same",
        "RequestStruct": "the same",
        "Response": "the same",
    },
}
# In Python's own documentation: named tuples, enumerations.
DOCUMENTED_NAMES = {"_asdict", "_fields", "_replace", "_value_"}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED_NAMES


def private_names(tree: ast.Module) -> set[str]:
    """Names with an underscore that are imported, or asked of anything but `self` and `cls`."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            found += [] if own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            found += [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [part for alias in node.names for part in alias.name.split(".")]
    return set(filter(is_private, found))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """The modules of the two libraries that are imported, by whatever form of the statement."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"aiohttp", "aiokafka"}:
            yield str(node.module)
            names = [f"{node.module}.{name}" for name in names]
        yield from (name for name in names if name.partition(".")[0] in {"aiohttp", "aiokafka"} and is_module(name))


@cache
def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a class of a module
        return False


def bases(tree: ast.Module) -> set[str]:
    """The classes of the two libraries that classes are derived from, as they are written."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"aiohttp", "aiokafka"}
        for alias in node.names
    }
    classes = [base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    written = {ast.unparse(base).partition("[")[0] for base in classes}
    return {name for name in written if name.partition(".")[0] in imported | {"aiohttp", "aiokafka"}}


def found(look: Callable[[ast.Module], set[str]]) -> dict[str, set[str]]:
    """Look at each module of ours, but for the one with the patches."""
    seen = {module: look(tree_of(module)) for module in MODULES if module != FIXES}
    return {module: names for module, names in seen.items() if names}


def listed(reasons: dict[str, dict[str, str]]) -> dict[str, set[str]]:
    return {module: set(names) for module, names in reasons.items()}


def test_no_private_name_of_others_is_used() -> None:
    assert found(private_names) == {}


def test_modules_that_are_not_documented_are_imported_for_a_reason() -> None:
    assert found(lambda tree: set(imported_modules(tree)) - DOCUMENTED) == listed(INSIDE)


def test_classes_are_derived_from_theirs_for_a_reason() -> None:
    documented = {"ConsumerRebalanceListener"}  # as a base class

    assert found(lambda tree: bases(tree) - documented) == listed(DERIVED)


def test_client_whose_insides_are_used_has_an_upper_bound() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]

    assert any(re.match(r"aiokafka.*<0\.15$", one) for one in wanted)


def test_what_is_looked_for_is_found() -> None:
    tree = ast.parse(
        "import aiohttp.web_protocol\nfrom aiohttp import _http_parser, http_parser, web\nfrom aiohttp.http import X\n"
        "from aiokafka.client import Client as C\n\n\nclass D(C):\n    def go(self, other):\n        super()._inner()\n"
        "        self._own = other._theirs\n\n\nclass E(web.Server):\n    pass\n"
    )

    assert private_names(tree) == {"_http_parser", "_inner", "_theirs"}
    undocumented = {"aiohttp.web_protocol", "aiohttp.http_parser", "aiohttp.http", "aiohttp._http_parser"}
    assert set(imported_modules(tree)) - DOCUMENTED == undocumented | {"aiokafka.client"}
    assert bases(tree) == {"C", "web.Server"}
