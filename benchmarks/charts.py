"""Draws the charts of docs/performance.md: `python -m benchmarks.charts RESULTS OUT`, in .venv-bench."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.results import Result, read

OURS, OTHERS = "#1f6feb", "#b6bdc6"
PROGRAMS = (("cpu_program", "program"), ("cpu_broker", "broker"), ("cpu_postgres", "PostgreSQL"))
SHADES = ("#1f6feb", "#8cb8f8", "#d0912b")


def main(results: Path, out: Path) -> None:
    """Draw every chart for which there are results; the same results give the same files."""
    mpl.rcParams.update({"svg.hashsalt": "ringover", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False, "svg.fonttype": "none", "font.family": "sans-serif"})
    out.mkdir(parents=True, exist_ok=True)
    found = read(results)
    if "ingress" in found or "processor" in found:
        throughput(found, out / "throughput.svg")
    if "growth" in found:
        growth(found["growth"], out / "growth.svg")
    if found.get("memory", {}).get("series"):
        memory(found["memory"], out / "memory.svg")


def throughput(found: Mapping[str, Result], path: Path) -> None:
    """Draw a bar for each program."""
    parts = [(part, unit) for part, unit in (("ingress", "requests/s"), ("processor", "records/s")) if part in found]
    figure, axes = plt.subplots(1, len(parts), figsize=(4.9 * len(parts), 2.6), squeeze=False, layout="constrained")
    for axis, (part, unit) in zip(axes[0], parts, strict=True):
        rows = [row for row in found[part]["rows"] if row["rounds"]][::-1]
        rates = [row["median"]["rate"] for row in rows]
        colors = [OURS if row["ours"] else OTHERS for row in rows]
        bars = axis.barh([row["title"].split(":")[0] for row in rows], rates, color=colors)
        axis.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
        axis.set_title(f"{part}, {unit}", loc="left")
        axis.set_xlim(0, max(rates) * 1.25)
        axis.xaxis.set_visible(False)
    save(figure, path)


def growth(result: Result, path: Path) -> None:
    """Draw the rate above, CPU a record below, along each axis."""
    axes_of = (("processors", "processors"), ("partitions", "partitions"), ("claims", "claims in the table before"))
    figure, axes = plt.subplots(2, 3, figsize=(9.8, 4.4), squeeze=False, sharey="row", layout="constrained")
    for column, (axis, title) in enumerate(axes_of):
        rows = [row for row in result["rows"] if row["at"]["axis"] == axis and row["rounds"]]
        labels = [_short(row["at"]["value"]) for row in rows]
        axes[0][column].plot(labels, [row["median"]["rate"] / 1000 for row in rows], color=OURS, marker="o")
        bottom = [0.0] * len(rows)
        for (name, words), shade in zip(PROGRAMS, SHADES, strict=True):
            values = [row["median"][name] for row in rows]
            axes[1][column].bar(labels, values, bottom=bottom, color=shade, label=words, width=0.55)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
        axes[1][column].set_xlabel(title)
    axes[0][0].set_ylabel("thousand records/s")
    axes[1][0].set_ylabel("CPU s per 100,000")
    axes[0][0].set_ylim(bottom=0)
    figure.legend(
        *axes[1][0].get_legend_handles_labels(), frameon=False, loc="outside upper right", ncols=3, fontsize=8
    )
    save(figure, path)


def memory(result: Result, path: Path) -> None:
    """Draw resident memory along the backlog."""
    figure, axis = plt.subplots(figsize=(9.8, 2.2), layout="constrained")
    records, mib = zip(*result["series"], strict=True)
    axis.plot([count / 1e6 for count in records], mib, color=OURS)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("million records processed")
    axis.set_ylabel("resident MiB")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a chart without a date, so that a chart changes only when its figures do."""
    figure.savefig(path, metadata={"Date": None}, transparent=False)
    plt.close(figure)


def _short(value: int) -> str:
    return f"{value / 1e6:g} M" if value >= 1_000_000 else f"{value:,}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
