"""`python -m tests.support.arrows [ROOT]`: counts the product's lines, files and classes, and imports in `ops/`.

A room of `ops/` is a folder in it, or a file beside them. An arrow goes from one room to another that it imports,
anywhere in its files, also inside functions; `ops/cli.py` names the commands' modules only as text, so it has none to
them. ROOT is another checkout of the project, to compare with.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "runtime", "ingress", "processors", "ops", "sandbox")

Arrow = tuple[str, str]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module that ships, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """The full name of every module imported anywhere in a file, also inside functions."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """The room of `ops/` that a module is in; None for modules of other packages and for `ops` itself."""
    package, *inside = module.split(".")
    return inside[0] if package == "ops" and inside else None


def arrows(root: Path = ROOT) -> dict[Arrow, set[str]]:
    """From which room of `ops/` to which, with the modules that import."""
    found: dict[Arrow, set[str]] = {}
    for module, path in modules(root).items():
        start = room(module)
        for end in set(map(room, imports(path))) - {start, None}:
            if start is not None and end is not None:
                found.setdefault((start, end), set()).add(module)
    return found


def classes_twice(root: Path = ROOT) -> dict[str, int]:
    """Names of classes at the top of several modules, with how many."""
    trees = map(_parsed, modules(root).values())
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    return {name: count for name, count in sorted(names.items()) if count > 1}


def measures(root: Path = ROOT) -> dict[str, int]:
    """The numbers of a closing note."""
    shipped = modules(root)
    return {
        "product lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in shipped.values()),
        "product files": len(shipped),
        "rooms of ops": len(set(map(room, shipped)) - {None}),
        "arrows between rooms of ops": len(arrows(root)),
        "class names occurring twice": len(classes_twice(root)),
    }


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for name, number in measures(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT).items():
        sys.stdout.write(f"{name:30}{number:>8,}\n")
