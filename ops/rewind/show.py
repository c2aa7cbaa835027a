"""Shows plans and the audit to people: tables, and the lines beside them."""

from collections.abc import Sequence

from rich.table import Table

from ops.kit.output import table
from ops.kit.times import duration, shown
from ops.rewind.audit import RewindEntry
from ops.rewind.plan import RewindPlan

PLAN_COLUMNS = ("partition", "committed", "target", "time at target", "records again", "skipped", "log")
LOG_COLUMNS = ("id", "begun", "who", "group", "topic", "partitions", "records", "outcome", "arguments")


def plan_table(plan: RewindPlan) -> Table:
    """Make a table of one row per partition."""
    rows = [
        (
            move.partition,
            "none" if move.committed is None else move.committed,
            "stays" if not move.moves else move.target,
            "" if not move.moves else "end of the log" if move.target_time is None else shown(move.target_time),
            move.records,
            move.skipped,
            f"{move.log_start}..{move.log_end}",
        )
        for move in plan.partitions
    ]
    right = ("partition", "committed", "target", "records again", "skipped", "log")
    return table(f"{plan.group} on {plan.topic}: {plan.goal}", PLAN_COLUMNS, rows, right=right)


def notes(plan: RewindPlan) -> list[str]:
    """Say what retention took, what comes out, how long it takes, what is lost."""
    said = [
        f"warning: partition {move.partition}: retention has removed what was asked for; earliest kept is offset "
        f"{move.log_start}" + ("" if move.target_time is None else f", {shown(move.target_time)}")
        for move in plan.partitions
        if move.expired
    ]
    if plan.skipped:
        lost = ": as many events at most are lost for ever, unless a later rewind goes back before them"
        known = plan.rate_source is not None
        said.append(f"warning: {plan.skipped:,} records are passed over{lost if known else ''}")
    if not plan.targets:
        return [*said, "nothing to do: every offset is there already"]
    if plan.forecast is not None:
        found = plan.forecast
        said.append(
            f"{found.records:,} records: {found.events:,} events emitted again, {found.silent:,} duplicates silent "
            f"(transaction markers among them), {found.dead_letters:,} dead letters written again"
        )
    if plan.rate_records_per_second is not None and plan.records:
        pace = f"{plan.rate_records_per_second:,.0f} records/s, {plan.rate_source}"
        said.append(f"about {duration(plan.estimated_seconds)} ({pace})")
    return said


def log_table(entries: Sequence[RewindEntry]) -> Table:
    """Make a table of the audit, newest first."""
    rows = [
        (
            entry.rewind_id,
            shown(entry.begun_at),
            entry.who,
            entry.group,
            entry.topic,
            ", ".join(map(str, sorted(entry.target))),
            _records(entry),
            entry.outcome,
            entry.arguments,
        )
        for entry in entries
    ]
    return table("", LOG_COLUMNS, rows, right=("id", "records"))


def _records(entry: RewindEntry) -> int:
    pairs = ((entry.before.get(partition), target) for partition, target in entry.target.items())
    return sum(before - target for before, target in pairs if before is not None and target is not None)
