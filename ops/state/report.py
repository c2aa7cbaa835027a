"""How the state commands show what they found: tables on stdout, prose on stderr."""

from collections.abc import Sequence

from rich.table import Table

from ops.kit.output import lines_of_cell, say, stdout, table
from ops.kit.times import shown
from ops.state.compact import CompactPlan
from ops.state.rebuild import RebuildPlan
from ops.state.show import ShownClaim
from ops.state.stats import Stats
from ops.state.verify import Verdict

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {_UNITS[-1]}"


def claims_table(claims: Sequence[ShownClaim]) -> Table:
    """One row per claim."""
    rows = [
        (
            claim.log,
            claim.key,
            f"{claim.partition}/{claim.owner_offset}",
            shown(claim.owner_time),
            claim.records,
            claim.duplicates,
            lines_of_cell(f"offset {offset}, {shown(time)}" for offset, time in claim.conflicts) or "none",
        )
        for claim in claims
    ]
    columns = ("log", "claim key", "owner", "owner's time", "records", "duplicates", "conflicts")
    return table("", columns, rows, right=("records", "duplicates"))


def print_stats(stats: Stats) -> None:
    """Types, partitions, sizes."""
    about = "about " if stats.estimated else ""
    rows = [
        (
            found.log,
            found.event_type,
            f"{found.claims:,}",
            f"{found.duplicates:,}",
            f"{found.conflicts:,}",
            found.oldest and shown(found.oldest),
            found.newest and shown(found.newest),
        )
        for found in stats.types
    ]
    columns = ("log", "event type", "claims", "duplicates", "conflicts", "oldest owner", "newest owner")
    stdout().print(table("Claims" + (" (from a sample)" if about else ""), columns, rows, right=columns[2:5]))
    places = [
        (found.partition, found.progress, found.committed, f"{found.behind} behind" if found.behind else "")
        for found in stats.partitions
    ]
    of_places = ("partition", "progress", "committed", "")
    stdout().print(table(f"{stats.log} and {stats.group}", of_places, places, right=of_places[:3]))
    stdout().print(f"{about}{stats.claims:,} claims, table {size(stats.table_bytes)}, index {size(stats.index_bytes)}")
    if any(found.behind for found in stats.partitions):
        say("warning: PostgreSQL has lost commits; the next takeover of the partition heals it")


def print_compact(plan: CompactPlan, removed: int | None) -> None:
    """The plan, or what was done."""
    rows = [
        (
            plan.log,
            shown(plan.before),
            f"{plan.claims:,}",
            f"{plan.older - plan.claims:,}",
            f"{plan.conflicts:,}",
            size(plan.freed_bytes),
        )
    ]
    columns = ("log", "owners before", "claims to remove", "older, but still in raw", "conflicts", "space")
    stdout().print(table("", columns, rows, right=columns[2:]))
    if removed is None:
        say("this is the plan; --execute carries it out. Freed space is used again, the files do not shrink")
    else:
        say(f"removed {removed:,} rows")


def print_rebuild(plan: RebuildPlan, *, executed: bool) -> None:
    """The plan, or what was done."""
    rows = [(p.partition, p.start, p.end, p.committed, p.progress, f"{p.records:,}") for p in plan.partitions]
    columns = ("partition", "from", "to", "committed", "progress before", "records")
    stdout().print(table(plan.log, columns, rows, right=columns))
    existing = f"{plan.claims:,} claims exist, {plan.kept:,} of them of records that retention has removed"
    fate = "these cannot be rebuilt and are kept as they are"
    if executed:
        say(f"read {plan.records:,} records; before, {existing}: {fate}")
        return
    how = "all others are forgotten first, and the group is paused meanwhile" if plan.wipe else "nothing is forgotten"
    say(f"{existing}: {fate}; {how}")
    say("this is the plan; --execute carries it out")


def rebuild_json(plan: RebuildPlan) -> dict[str, object]:
    """For `-o json`."""
    return {
        "log": plan.log,
        "wipe": plan.wipe,
        "records": plan.records,
        "claims_before": plan.claims,
        "claims_kept": plan.kept,
        "partitions": [
            {
                "partition": p.partition,
                "start": p.start,
                "end": p.end,
                "committed": p.committed,
                "progress_before": p.progress,
            }
            for p in plan.partitions
        ],
    }


def print_verdict(verdict: Verdict) -> None:
    """Differences, if any, and what was looked at."""
    if verdict.findings:
        rows = [(f.fault, f.key, f.partition, f.expected, f.found) for f in verdict.findings]
        columns = ("fault", "claim key", "partition", "first valid offset", "owner in the table")
        stdout().print(table("", columns, rows, right=columns[2:4]))
    counts = ", ".join(f"{count} {fault}" for fault, count in verdict.counts.items() if count) or "no differences"
    stdout().print(
        f"{verdict.records:,} records, {verdict.claims:,} claims compared, {verdict.removed:,} more have an owner that "
        f"retention removed: {counts}"
    )


def verdict_json(verdict: Verdict) -> dict[str, object]:
    """For `-o json`."""
    return {
        "log": verdict.log,
        "clean": verdict.clean,
        "records": verdict.records,
        "claims": verdict.claims,
        "claims_of_removed_owners": verdict.removed,
        "counts": {fault.name.lower(): count for fault, count in verdict.counts.items()},
        "findings": [
            {
                "fault": found.fault.name.lower(),
                "claim_key": found.key,
                "partition": found.partition,
                "first_valid_offset": found.expected,
                "owner": found.found,
            }
            for found in verdict.findings
        ],
    }
