"""Lists the targets, each beside what was measured: pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.results import Result, rounds
from benchmarks.stats import paired
from benchmarks.tables import Table

MIB_TO_MB = 1.048576

Rows = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Target:
    """Has a `value` made of a part's rows by name, None without figures; `least`: more is better, else less is."""

    text: str
    part: str
    bound: float
    least: bool
    value: Callable[[Rows], float | None]

    def met(self, value: float) -> bool:
        """Whether the target is met."""
        return value >= self.bound if self.least else value <= self.bound


def _over(peer: str, name: str = "rate") -> Callable[[Rows], float | None]:
    return lambda rows: paired(rounds(rows["ours"]), rounds(rows[peer]), name)


def _figure(row: str, name: str, factor: float = 1.0) -> Callable[[Rows], float | None]:
    return lambda rows: float(rows[row]["median"][name]) * factor


def _again_by_first(rows: Rows) -> float | None:
    return paired(rounds(rows["again"]), rounds(rows["first"]), "rate")


def _cost_of_claims(rows: Rows) -> float | None:
    """CPU of everything per record, with the largest table by that with the smallest."""
    found = sorted(
        (row["at"]["value"], sum(row["median"][f"cpu_{who}"] for who in ("program", "broker", "postgres")))
        for row in rows.values()
        if row["at"]["axis"] == "claims" and row["rounds"]
    )
    return float(found[-1][1] / found[0][1]) if len(found) > 1 else None


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
    Target("memory: processor at full speed, MB", "memory", 250, False, _figure("processor", "most_mib", MIB_TO_MB)),
    Target("memory: processor, last quarter by second", "memory", 1.1, False, _figure("processor", "growth")),
    Target(
        "memory: ingress under all connections, MB", "memory", 300, False, _figure("ingress", "most_mib", MIB_TO_MB)
    ),
    # 1, but for noise.
    Target("rewind: records/s by those of the first pass", "rewind", 0.9, True, _again_by_first),
    Target("state rebuild: records/s", "rebuild", 100_000, True, _figure("rebuild", "rate")),
    Target("growth: cost a record, largest table by smallest", "growth", 1.5, False, _cost_of_claims),
)


def targets(results: Mapping[str, Result]) -> Table:
    """List the targets of the parts that were measured; a dash where figures are missing."""
    columns = ("target", "wanted", "measured", "met")
    measured = [target for target in TARGETS if target.part in results]
    return Table("Targets", columns, tuple(_row(target, results[target.part]) for target in measured))


def _row(target: Target, result: Result) -> tuple[str, ...]:
    wanted = f"{'≥' if target.least else '≤'} {target.bound:,g}"
    try:
        value = target.value(_rows(result))
    except KeyError:
        value = None
    if value is None:
        return target.text, wanted, "-", "-"
    shown = f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
    return target.text, wanted, shown, "yes" if target.met(value) else "no"


def _rows(result: Result) -> dict[str, Result]:
    rows = {row["name"]: row for row in result["rows"]}
    for row in result.get("half", ()):
        rows["half"] = row
    return rows
