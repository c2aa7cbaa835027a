"""Shows results: tables on the terminal, and the generated parts of docs/performance.md.

`python -m benchmarks.page` writes the page anew from benchmarks/results.
"""

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.children import ROOT
from benchmarks.results import Result, read
from benchmarks.tables import Table, tables
from benchmarks.targets import targets
from ops.kit.output import say, stdout, table

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = {
    "processor": ("throughput.svg", "Requests and records a second of each program"),
    "memory": ("memory.svg", "Resident memory of the processor along the backlog"),
    "growth": ("growth.svg", "Rate and cost of a record with more processors, partitions, claims"),
}
NOTHING = "Not measured yet."
CHARTS = ROOT / "docs" / "charts"
DRAWING_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


def show(directory: Path, parts: Iterable[str]) -> None:
    """Print the tables of some parts, and the targets."""
    found = {part: result for part, result in read(directory).items() if part in parts}
    for one in [*(one for of_part in tables(found).values() for one in of_part), targets(found)]:
        stdout().print(table(one.title, one.columns, one.rows, right=one.columns[1:]))
    for part, result in found.items():
        for failure in failures(result):
            say(f"✗ {part}: {failure}")


def failures(result: Result) -> list[str]:
    """Rounds that gave nothing, and why."""
    rows = [*result["rows"], *result.get("half", ())]
    return [f"{row['title']}, {failure}" for row in rows for failure in row["failures"]]


def write() -> None:
    """Write the page's generated parts and its charts."""
    found = read(RESULTS)
    if DRAWING_PYTHON.exists():
        command = [str(DRAWING_PYTHON), "-m", "benchmarks.charts", str(RESULTS), str(CHARTS)]
        subprocess.run(command, cwd=ROOT, check=True)
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), sections(found)), encoding="utf-8")
    say(f"written: {PAGE.relative_to(ROOT)}")


def sections(results: Mapping[str, Result]) -> dict[str, str]:
    """Make the page's generated parts by name: each part's tables and how they came about, and the targets. Pure."""
    found = {part: _section(results[part], of_part) for part, of_part in tables(results).items()}
    for part, (name, words) in PICTURES.items():
        if part in found:
            found[part] += f"\n\n![{words}](charts/{name})"
    return found | {"targets": targets(results).markdown() if results else NOTHING, "machine": _machine(results)}


def rendered(page: str, sections: Mapping[str, str]) -> str:
    """A page with what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` replaced. Pure.

    Raises:
        ValueError: the page has no place for a section.
    """
    for name, text in sections.items():
        begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        found = place.search(page)
        if found is None:
            raise ValueError(f"the page has no {begin} … {end}")
        before, after = page[: found.start()], page[found.end() :]
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def _section(result: Result, of_part: list[Table]) -> str:
    about = result["about"]
    commit = f"`{about['commit']}`{' with changes' if about['dirty'] else ''}"
    scale = about["settings"]["scale"]
    lines = [one.markdown() + "\n" for one in of_part]
    lines += [f"- {failure.splitlines()[0]}" for failure in failures(result)]
    lines.append(
        f"`{about['command']}`, {about['begun'][:16].replace('T', ' ')} UTC, commit {commit}, scale {scale:g}."
    )
    return "\n".join(lines)


def _machine(results: Mapping[str, Result]) -> str:
    if not results:
        return NOTHING
    about = max((result["about"] for result in results.values()), key=lambda about: str(about["begun"]))
    machine = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
        f"load generator: {machine['generator']}.\n\n{versions}."
    )


if __name__ == "__main__":
    write()
