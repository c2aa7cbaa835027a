"""Makes tables of the results: pure, the same for the terminal and for docs/performance.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.results import Result, rounds
from benchmarks.stats import Figures, paired

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """Holds a title, columns, rows of text; all but the first column are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Write the table as GitHub shows it."""
        head = [self.columns, ("---", *("---:" for _ in self.columns[1:]))]
        return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *self.rows])


CPU = ("program", "broker", "postgres", "generator")


def tables(results: Mapping[str, Result]) -> dict[str, list[Table]]:
    """Make the tables of each part that was measured."""
    makers = {
        "ingress": ingress,
        "processor": processor,
        "latency": latency,
        "memory": memory,
        "rewind": passes,
        "rebuild": passes,
        "growth": growth,
    }
    return {part: list(makers[part](result)) for part, result in results.items()}


def ingress(result: Result) -> Iterator[Table]:
    """Show the ingress at full speed, and at half of that."""
    columns = ("64 connections, full speed", "requests/s", "ours / it", "p50 ms", "p99 ms", *cpu_columns(CPU[:2], True))
    yield Table("Ingress", columns, tuple(_ingress_row(row, result["rows"]) for row in result["rows"]))
    half = [row for row in result["half"] if row["rounds"]]
    if half:
        yield Table(
            "Ingress at half of its maximum, by the clock",
            ("constant rate", "requests/s", "p50 ms", "p99 ms", "generator late, p99 ms"),
            tuple(
                (row["title"], whole(row["median"]["rate"]), *tenths(row["median"], "p50_ms", "p99_ms", "late_p99_ms"))
                for row in half
            ),
        )


def _ingress_row(row: Result, rows: Sequence[Result]) -> tuple[str, ...]:
    if not row["rounds"]:
        return failed(row, 8)
    median = row["median"]
    cells = (row["title"], whole(median["rate"]), ratio(rows, row, "rate"), *tenths(median, "p50_ms", "p99_ms"))
    return (*cells, *cpu_cells(median, ("program", "broker", "generator")))


def processor(result: Result) -> Iterator[Table]:
    """Show a backlog."""
    columns = (
        "a backlog, exactly once",
        "records/s",
        "ours / it",
        "second half",
        "ours / it",
        "with start-up",
        "MiB",
        *cpu_columns(CPU[:3], False),
    )
    yield Table("Processor", columns, tuple(_processor_row(row, result["rows"]) for row in result["rows"]))


def _processor_row(row: Result, rows: Sequence[Result]) -> tuple[str, ...]:
    if not row["rounds"]:
        return failed(row, 10)
    median = row["median"]
    return (
        row["title"],
        whole(median["rate"]),
        ratio(rows, row, "rate"),
        whole(median.get("rate_second_half")),
        ratio(rows, row, "rate_second_half"),
        whole(median["rate_from_start"]),
        whole(median["most_mib"]),
        *cpu_cells(median, CPU[:3]),
    )


def latency(result: Result) -> Iterator[Table]:
    """Show the time from request to committed event."""
    columns = ("from HTTP request to committed event", "webhooks/s", "p50 ms", "p99 ms", "p99.9 ms", "worst ms")
    names = ("p50_ms", "p99_ms", "p999_ms", "worst_ms")
    rows = (
        (row["title"], "500", *tenths(row["median"], *names)) if row["rounds"] else failed(row, 6)
        for row in result["rows"]
    )
    yield Table("Latency", columns, tuple(rows))


def memory(result: Result) -> Iterator[Table]:
    """Show resident memory."""
    settings = result["about"]["settings"]
    rows = []
    for row in result["rows"]:
        median, over = row["median"], f"{settings['memory_records']:,} records"
        if row["name"] == "ingress":
            over = f"{settings['connections']:,} connections"
        cells = (whole(median.get("most_mib")), hundredths(median.get("growth")))
        rows.append((row["title"], over, *cells) if row["rounds"] else failed(row, 4))
    columns = ("resident memory", "over", "most, MiB", "last quarter / second quarter")
    yield Table("Memory", columns, tuple(rows))


def passes(result: Result) -> Iterator[Table]:
    """Show passes over the whole log."""
    columns = ("a whole log", "records/s", "begins after s", *cpu_columns(CPU[:3], False))
    rows = (
        (
            row["title"],
            whole(row["median"]["rate"]),
            f"{row['median']['startup_seconds']:.1f}",
            *cpu_cells(row["median"], CPU[:3]),
        )
        if row["rounds"]
        else failed(row, 6)
        for row in result["rows"]
    )
    yield Table("Going back" if result["part"] == "rewind" else "Rebuilding claims", columns, tuple(rows))


def growth(result: Result) -> Iterator[Table]:
    """Show the three axes."""
    columns = ("growth", "records/s", *cpu_columns(CPU[:3], False), "all together")
    rows = []
    for row in result["rows"]:
        median = row["median"]
        if row["rounds"]:
            total = sum(median[f"cpu_{name}"] for name in CPU[:3])
            rows.append((row["title"], whole(median["rate"]), *cpu_cells(median, CPU[:3]), hundredths(total)))
        else:
            rows.append(failed(row, 6))
    yield Table("Growth", columns, tuple(rows))


def cpu_columns(names: Sequence[str], generator: bool) -> tuple[str, ...]:
    """Headings of CPU seconds per 100,000."""
    words = {"program": "CPU s/100k: program", "broker": "broker", "postgres": "PostgreSQL"}
    return (*(words[name] for name in names), *(("generator",) if generator else ()))


def cpu_cells(median: Figures, names: Sequence[str]) -> tuple[str, ...]:
    """CPU seconds per 100,000."""
    return tuple(hundredths(median.get(f"cpu_{name}")) for name in names)


def ratio(rows: Sequence[Result], row: Result, name: str) -> str:
    """Divide ours by that of a row, round by round; a dash for our own."""
    ours = next((other for other in rows if other["ours"]), None)
    if row["ours"] or ours is None:
        return "-"
    return hundredths(paired(rounds(ours), rounds(row), name))


def failed(row: Result, columns: int) -> tuple[str, ...]:
    """Make a row without figures; why is said below the tables."""
    return (f"{row['title']}: failed", *("-" for _ in range(columns - 1)))


def whole(value: float | None) -> str:
    """A number without fraction, in groups of three digits."""
    return "-" if value is None else f"{value:,.0f}"


def hundredths(value: float | None) -> str:
    """With two digits of a fraction."""
    return "-" if value is None else f"{value:.2f}"


def tenths(figures: Figures, *names: str) -> tuple[str, ...]:
    """With one digit of a fraction."""
    return tuple("-" if name not in figures else f"{figures[name]:.1f}" for name in names)
