"""Plans and the audit for people: tables on stdout, talk on stderr."""

from collections.abc import Sequence

from ops.kit.output import say, stdout, table
from ops.kit.times import duration, shown, shown_ms
from ops.rewind.log import Entry, outcome_of
from ops.rewind.plan import Plan

PLAN_COLUMNS = ("partition", "committed", "target", "time at target", "records again", "skipped", "log")
LOG_COLUMNS = ("id", "begun", "who", "group", "topic", "partitions", "records", "outcome", "arguments")


def show_plan(plan: Plan) -> None:
    """The table."""
    rows = [
        (
            move.partition,
            "none" if move.committed is None else move.committed,
            "stays" if not move.moves else move.target,
            "" if not move.moves else "end of the log" if move.target_ms is None else shown_ms(move.target_ms),
            move.records,
            move.skipped,
            f"{move.log_start}..{move.log_end}",
        )
        for move in plan.moves
    ]
    right = ("partition", "committed", "target", "records again", "skipped", "log")
    stdout().print(table(f"{plan.group} on {plan.topic}: {plan.goal}", PLAN_COLUMNS, rows, right=right))


def talk_of(plan: Plan) -> list[str]:
    """What to say of a plan: what retention took, what comes out, how long it takes, what is lost. Pure."""
    said = [
        f"warning: partition {move.partition}: retention has removed what was asked for; earliest kept is offset "
        f"{move.log_start}" + ("" if move.target_ms is None else f", {shown_ms(move.target_ms)}")
        for move in plan.moves
        if move.expired
    ]
    if plan.skipped:
        said.append(f"warning: {plan.skipped:,} records are passed over" + _lost(plan))
    if not plan.targets:
        return [*said, "nothing to do: every offset is there already"]
    if plan.forecast is not None:
        found = plan.forecast
        said.append(
            f"{found.records:,} records: {found.events:,} events emitted again, {found.silent:,} duplicates silent "
            f"(transaction markers among them), {found.dead_letters:,} dead letters written again"
        )
    if plan.rate is not None and plan.records:
        pace = f"{plan.rate.records_per_second:,.0f} records/s, {plan.rate.source}"
        said.append(f"about {duration(plan.seconds)} ({pace})")
    return said


def _lost(plan: Plan) -> str:
    if plan.rate is None:
        return ""
    return ": as many events at most are lost for ever, unless a later rewind goes back before them"


def say_plan(plan: Plan) -> None:
    """The talk, on stderr."""
    for line in talk_of(plan):
        say(line)


def show_log(entries: Sequence[tuple[Entry, dict[int, int | None] | None]]) -> None:
    """The audit, newest first, each with the group's offsets of now where they matter."""
    rows = [
        (
            entry.rewind_id,
            shown(entry.begun_at),
            entry.who,
            entry.group,
            entry.topic,
            ", ".join(str(partition) for partition in sorted(entry.target)),
            _records(entry),
            outcome_of(entry, now),
            entry.arguments,
        )
        for entry, now in entries
    ]
    stdout().print(table("", LOG_COLUMNS, rows, right=("id", "records")))


def _records(entry: Entry) -> int:
    pairs = ((entry.before.get(partition), target) for partition, target in entry.target.items())
    return sum(before - target for before, target in pairs if before is not None and target is not None)
