"""Shows an erasure as tables and lines; a number is never written out."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.table import Table

from ops.erase.plan import OUT_OF_REACH, ErasePlan, ErasureRequest
from ops.kit.output import shorten, table
from ops.kit.times import shown

COLUMNS = ("where", "what", "count", "newest", "what happens", "gone at the latest")
REQUEST_COLUMNS = ("erasure", "who", "requested", "kind", "calls", "retention done")
BY_RETENTION = "stays until retention removes it: single records of this topic cannot be deleted"
KEPT = "stays while raw topic or dead letters have a record of its call: else a rewind or replay could emit a duplicate"
NO_TOPIC_COMPACTED = "no topic is compacted, so there is nothing to send tombstones to"
CALLS_SHOWN = 20
ID_CHARACTERS = 60


def tables(plan: ErasePlan) -> Iterator[Table]:
    """Yield earlier requests, and one row per place that holds something."""
    if plan.requests:
        yield _requests_table(plan.requests)
    if not plan.known:
        return
    never = "never: retention.ms is -1"
    rows = [
        (
            found.topic,
            "records",
            found.records,
            _time(found.newest),
            BY_RETENTION,
            _time(found.gone_at_the_latest, never),
        )
        for found in plan.topics
        if found.records
    ]
    for found in plan.rows:
        becomes = (KEPT, "after those") if found.kept else ("erased", "-")
        rows.append(("PostgreSQL", found.what, found.count, "-", *becomes))
    yield table(f"Held of {plan.subject}", COLUMNS, rows, right=("count",))


def notes(plan: ErasePlan) -> Iterator[str]:
    """Yield what the tables do not say."""
    if plan.known:
        ids = [shorten(call.call_id, ID_CHARACTERS) for call in plan.calls]
        more = f" and {len(ids) - CALLS_SHOWN} more (-o json lists all)" if len(ids) > CALLS_SHOWN else ""
        yield f"{len(ids)} calls: {', '.join(ids[:CALLS_SHOWN])}{more}"
    yield "out of reach of this command, and yours to look after:"
    yield from (f"  - {place}" for place in OUT_OF_REACH)
    yield NO_TOPIC_COMPACTED
    if plan.remains:
        yield "a rewind or a replay before then writes its events once more, to be kept as long again"


def what_is_left(plan: ErasePlan) -> str:
    """Say what is left once the plan is carried out, and what to do about it."""
    if not plan.remains:
        return "nothing is left of it here"
    if plan.gone_at_the_latest is None:
        return "the rest stays for ever: give the topics a retention"
    return f"the rest is gone by {shown(plan.gone_at_the_latest)}; then run `ringover-ops erase --pending --execute`"


def _requests_table(requests: Sequence[ErasureRequest]) -> Table:
    rows = [
        (
            r.erasure_id,
            r.who,
            shown(r.requested_at),
            r.kind,
            len(r.call_ids),
            _time(r.until, "never" if r.waiting else "-"),
        )
        for r in requests
    ]
    return table("Erasures that are not complete", REQUEST_COLUMNS, rows, right=("erasure", "calls"))


def _time(moment: datetime | None, none: str = "-") -> str:
    return none if moment is None else shown(moment)
