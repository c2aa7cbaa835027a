"""Writes and reads results: one JSON document a part, with everything that a reader must know to judge it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plan import PARTS, Plan
from benchmarks.stats import Figures

Result = Mapping[str, Any]


def command(plan: Plan) -> str:
    """Write how to run it again."""
    default, words = Plan(), ["make bench"]
    words += [f"ONLY={','.join(plan.parts)}"] if plan.parts != PARTS else []
    words += [f"BENCH_SCALE={plan.scale:g}"] if plan.scale != default.scale else []
    words += [f"BENCH_ROUNDS={plan.rounds}"] if plan.rounds != default.rounds else []
    words += [f"BENCH_SECONDS={plan.seconds:g}"] if plan.seconds != default.seconds else []
    words += [f"BENCH_PEERS={plan.peers}"] if plan.peers != default.peers else []
    words += [f"BENCH_MOST_CLAIMS={plan.most_claims}"] if plan.most_claims != default.most_claims else []
    return " ".join(words)


def write(directory: Path, part: str, about: Mapping[str, object], measured: Mapping[str, object]) -> None:
    """Replace one part's document at once."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"part": part, "about": about, **measured}, indent=1, default=str)
    new = directory / f".{part}.new"
    new.write_text(rounded(text) + "\n", encoding="utf-8")
    new.replace(directory / f"{part}.json")


def rounded(text: str) -> str:
    """JSON with numbers of six significant digits: what is beyond is noise."""

    def number(word: str) -> float:
        return float(f"{float(word):.6g}")

    return json.dumps(json.loads(text, parse_float=number), indent=1)


def read(directory: Path) -> dict[str, Result]:
    """Read every part that was measured, in the order of the parts."""
    paths = {part: directory / f"{part}.json" for part in PARTS}
    return {part: json.loads(path.read_text(encoding="utf-8")) for part, path in paths.items() if path.exists()}


def rounds(row: Result) -> dict[int, Figures]:
    """The figures of a row's rounds by number; JSON has only words for keys."""
    return {int(number): figures for number, figures in row["rounds"].items()}


def complete(measured: Mapping[str, Any]) -> bool:
    """Whether every row of ours has figures and no failure; a peer that fails is said to, and loses nothing else."""
    rows: Sequence[Result] = [*measured["rows"], *measured.get("half", ())]
    return all(row["rounds"] and not row["failures"] for row in rows if row["ours"])
