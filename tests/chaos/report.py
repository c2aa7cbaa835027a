"""The tables of a run: faults x invariants, what senders felt, the invariants one by one. Pure."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.chaos.checker import Fate, Verdict
from tests.chaos.journal import Delivery
from tests.chaos.watch import Sample, caught_up
from tests.support.comparison import Invariant

AFTERMATH_SECONDS = 5.0  # what is acknowledged so soon after a fault is counted as its, too
QUIET, ALL = "(quiet)", "all"


@dataclass(frozen=True, slots=True)
class Window:
    """When a fault was there; seconds on the clock of the run."""

    fault: str
    kind: str
    began: float
    ended: float


class Table(NamedTuple):
    """A heading, columns, rows of texts; the first column is the only one that is no number."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(slots=True)
class Tally:
    """What was counted for one fault."""

    fates: Counter[Fate] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)  # request ids
    violations: Counter[Invariant] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds until a 202

    @property
    def acked(self) -> int:
        return self.fates.total()


class Windows:
    """Finds the faults that were there at a moment."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self.all = list(windows)
        edges = {edge for window in self.all for edge in (window.began, window.ended + AFTERMATH_SECONDS)}
        self._edges = sorted(edges)
        self._names = [
            frozenset(w.fault for w in self.all if w.began <= edge < w.ended + AFTERMATH_SECONDS)
            for edge in self._edges
        ]

    def at(self, moment: float) -> frozenset[str]:
        """Names; `(quiet)` when there was none."""
        index = bisect_right(self._edges, moment) - 1
        return (self._names[index] if index >= 0 else frozenset()) or frozenset({QUIET})


def tallies(windows: Windows, deliveries: Sequence[Delivery], verdict: Verdict) -> dict[str, Tally]:
    """By fault, and `all`: a webhook counts when it was answered, what concerns no webhook counts under `all`."""
    found: dict[str, Tally] = defaultdict(Tally)
    where: dict[str, frozenset[str]] = {}
    for delivery in deliveries:
        where[delivery.request_id] = names = windows.at(delivery.answered) | {ALL}
        fate = verdict.fates.get(delivery.request_id)
        for name in names if fate else ():
            assert fate is not None
            found[name].fates[fate] += 1
            if fate is Fate.LOST:
                found[name].lost.add(delivery.request_id)
        for attempt in delivery.attempts:
            for name in windows.at(attempt.answered) | {ALL}:
                tally = found[name]
                tally.statuses[attempt.status] += 1
                if attempt.status == 202:
                    tally.slowest = max(tally.slowest, attempt.answered - attempt.sent)
    for violation in verdict.violations:
        for name in where.get(violation.webhook or "", {ALL}):
            found[name].violations[violation.invariant] += 1
            if violation.invariant in (Invariant.I1, Invariant.I2):
                found[name].lost.add(violation.webhook or violation.text)
    return found


def tables(
    windows: Sequence[Window], deliveries: Sequence[Delivery], verdict: Verdict, samples: Sequence[Sample]
) -> list[Table]:
    """All of them: by kind of fault, by fault, by invariant."""
    kinds = Windows(replace(window, fault=window.kind) for window in windows)
    faults = Windows(windows)
    by_kind, by_fault = (tallies(grouped, deliveries, verdict) for grouped in (kinds, faults))
    return [
        fates_table("kinds of faults x invariants", kinds, by_kind),
        fates_table("faults x invariants", faults, by_fault),
        senders_table(faults, by_fault, deliveries, samples),
        invariants_table(verdict),
    ]


_FATE_COLUMNS = (
    *("fault", "times", "seconds", "acked", "stored", "emitted", "duplicates", "dead letters"),
    *("lost (I1, I2)", "doubled (I3)", "changed (I4)", "order (I5)", "dead letters (I11)"),
)


def fates_table(title: str, windows: Windows, by_fault: dict[str, Tally]) -> Table:
    """What became of the webhooks, and which invariants were violated."""
    rows = []
    for name in _in_order(windows, by_fault):
        tally, of_fault = by_fault[name], [window for window in windows.all if window.fault == name]
        seconds = sum(window.ended - window.began for window in of_fault)
        fates, broken = tally.fates, tally.violations
        counts = [
            *(tally.acked, tally.acked - fates[Fate.LOST]),
            *(fates[Fate.EVENT], fates[Fate.DUPLICATE], fates[Fate.DEAD_LETTER], len(tally.lost)),
            *(broken[invariant] for invariant in (Invariant.I3, Invariant.I4, Invariant.I5, Invariant.I11)),
        ]
        times = [f"{len(of_fault)}", f"{seconds:.0f}"] if of_fault else ["", ""]
        rows.append([name, *times, *(f"{count:,}" for count in counts)])
    return Table(title, _FATE_COLUMNS, rows)


def senders_table(
    windows: Windows, by_fault: dict[str, Tally], deliveries: Sequence[Delivery], samples: Sequence[Sample]
) -> Table:
    """What a sender felt during each fault, and how long the way back took."""
    good = sorted(attempt.answered for one in deliveries for attempt in one.attempts if attempt.status == 202)
    rows = []
    for name in _in_order(windows, by_fault):
        tally, ended = by_fault[name], [window.ended for window in windows.all if window.fault == name]
        other = sum(count for status, count in tally.statuses.items() if status >= 500 and status != 503)
        counts = [tally.statuses.total(), tally.statuses[202], tally.statuses[503], other, tally.statuses[0]]
        answers = [good[index] - end for end in ended if (index := bisect_left(good, end)) < len(good)]
        lags = [caught_up(samples, end) for end in ended]
        rows.append(
            [
                *(name, *(f"{count:,}" for count in counts), f"{tally.slowest:.1f}"),
                *(_longest(answers), _longest([lag for lag in lags if lag is not None])),
            ]
        )
    columns = (
        *("fault", "requests", "202", "503", "other 5xx", "no answer", "slowest 202 (s)"),
        *("answers again after (s)", "caught up after (s)"),
    )
    return Table("what senders felt, and the way back", columns, rows)


def invariants_table(verdict: Verdict) -> Table:
    """Each invariant with the number of its violations."""
    rows = [[f"{one.name}: {one.value}", f"{verdict.count(one):,}"] for one in Invariant]
    return Table("invariants", ("invariant", "violations"), rows)


def markdown(tables: Iterable[Table]) -> str:
    """For docs/reliability.md."""
    return "\n\n".join("\n".join(_markdown(table)) for table in tables)


def _markdown(table: Table) -> Iterator[str]:
    yield f"**{table.title[:1].upper()}{table.title[1:]}**"
    yield ""
    yield f"| {' | '.join(table.columns)} |"
    yield f"|---{'|---:' * (len(table.columns) - 1)}|"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def _in_order(windows: Windows, by_fault: dict[str, Tally]) -> list[str]:
    names = sorted({window.fault for window in windows.all})
    return [name for name in [*names, QUIET, ALL] if name in by_fault]


def _longest(seconds: Sequence[float]) -> str:
    return f"{max(seconds):.1f}" if seconds else ""
