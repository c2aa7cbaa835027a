"""The targets, each beside what was measured: pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.results import Result
from benchmarks.stats import Figures
from benchmarks.tables import Table

MIB_TO_MB = 1.048576


@dataclass(frozen=True, slots=True)
class Target:
    """`value` computes it from a part's medians by row; `least`: more is better, else less is."""

    text: str
    part: str
    bound: float
    least: bool
    value: Callable[[Mapping[str, Figures]], float]

    def met(self, value: float) -> bool:
        """Whether it is."""
        return value >= self.bound if self.least else value <= self.bound


def _over(peer: str, name: str = "rate") -> Callable[[Mapping[str, Figures]], float]:
    return lambda rows: rows["ours"][name] / rows[peer][name]


def _figure(row: str, name: str) -> Callable[[Mapping[str, Figures]], float]:
    return lambda rows: rows[row][name]


def _cost_of_claims(rows: Mapping[str, Figures]) -> float:
    """CPU of everything per record, with the largest table by that with the smallest."""
    sizes = sorted((int(name.removeprefix("claims-")), name) for name in rows if name.startswith("claims-"))
    costs = [sum(rows[name][f"cpu_{who}"] for who in ("program", "broker", "postgres")) for _, name in sizes]
    if len(costs) < 2:
        raise KeyError("claims")
    return costs[-1] / costs[0]


TARGETS = (
    Target("ingress: requests/s by those of bare aiohttp", "ingress", 0.80, True, _over("bare")),
    Target("ingress: CPU a request by that of bare aiohttp", "ingress", 1.4, False, _over("bare", "cpu_program")),
    Target("ingress: requests/s by aiohttp + aiokafka", "ingress", 1.25, True, _over("aiokafka")),
    Target("ingress: requests/s by aiohttp + confluent-kafka", "ingress", 1.0, True, _over("confluent")),
    Target("ingress: p99 at half of the maximum, ms", "ingress", 15, False, _figure("half", "p99_ms")),
    Target("processor: records/s by Kafka Streams", "processor", 1.0, True, _over("streams")),
    Target("processor: records/s by Quix Streams", "processor", 3.0, True, _over("quix")),
    Target("latency: p50 at 500/s, ms", "latency", 40, False, _figure("ours", "p50_ms")),
    Target("latency: p99 at 500/s, ms", "latency", 150, False, _figure("ours", "p99_ms")),
    Target(
        "memory: processor at full speed, MB",
        "memory",
        250,
        False,
        lambda rows: rows["processor"]["most_mib"] * MIB_TO_MB,
    ),
    Target("memory: processor, last quarter by second", "memory", 1.1, False, _figure("processor", "growth")),
    Target(
        "memory: ingress under all connections, MB",
        "memory",
        300,
        False,
        lambda rows: rows["ingress"]["most_mib"] * MIB_TO_MB,
    ),
    Target(
        "rewind: records/s by those of the first pass",
        "rewind",
        0.9,  # the same, but for noise
        True,
        lambda rows: rows["again"]["rate"] / rows["first"]["rate"],
    ),
    Target("state rebuild: records/s", "rebuild", 100_000, True, _figure("rebuild", "rate")),
    Target("growth: cost a record, largest table by smallest", "growth", 1.5, False, _cost_of_claims),
)


def targets(results: Mapping[str, Result]) -> Table:
    """Those of the parts that were measured; a dash where figures are missing."""
    columns = ("target", "wanted", "measured", "met")
    measured = [target for target in TARGETS if target.part in results]
    return Table("Targets", columns, tuple(_row(target, results[target.part]) for target in measured))


def _row(target: Target, result: Result) -> tuple[str, ...]:
    wanted = f"{'≥' if target.least else '≤'} {target.bound:,g}"
    try:
        value: float | None = target.value(_medians(result))
    except KeyError:
        value = None
    if value is None:
        return target.text, wanted, "-", "-"
    shown = f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
    return target.text, wanted, shown, "yes" if target.met(value) else "no"


def _medians(result: Result) -> dict[str, Any]:
    rows = {row["name"]: row["median"] for row in result["rows"] if row["rounds"]}
    for row in result.get("half", ()):
        if row["rounds"]:
            rows["half"] = row["median"]
    return rows
