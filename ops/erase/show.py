"""An erasure for people (tables) and for scripts (JSON); a number is never written out."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from ops.erase.plan import ErasePlan, Holding
from ops.erase.rows import Erased, Request
from ops.kit.output import shorten, table
from ops.kit.times import shown

COLUMNS = ("where", "what", "count", "newest", "what happens", "gone at the latest")
REQUEST_COLUMNS = ("erasure", "who", "requested", "kind", "calls", "retention done")
BY_RETENTION = "stays until retention removes it: single records of this topic cannot be deleted"
KEPT = "stays while raw topic or dead letters have a record of its call: else a rewind or replay could emit a duplicate"
NO_TOPIC_COMPACTED = "no topic is compacted, so there is nothing to send tombstones to"
#: What no command of ours reaches; part of every answer.
OUT_OF_REACH = (
    "files of `dead-letters export` and what people copied from --reveal",
    "the ingresses' spool (INGRESS_SPOOL_DIR), as long as a webhook waits in it",
    "backups of Kafka and PostgreSQL, and PostgreSQL's write-ahead log",
    "copies of the topics: mirrored clusters; tiered storage follows the topic's retention",
    "what consumers of the topics have stored",
    "Ringover itself",
)
CALLS_SHOWN = 20
ID_CHARACTERS = 60


def render(plan: ErasePlan) -> Table:
    """One row per place that holds something."""
    rows = [_holding_row(holding) for holding in plan.holdings if holding.records]
    for what, count, kept in _rows(plan):
        rows.append(("PostgreSQL", what, count, "-", KEPT if kept else "erased", "after those" if kept else "-"))
    return table(f"Held of {plan.subject}", COLUMNS, rows, right=("count",))


def calls_line(plan: ErasePlan) -> str:
    """Which calls it is about."""
    ids = [shorten(call.call_id, ID_CHARACTERS) for call in plan.calls]
    more = f" and {len(ids) - CALLS_SHOWN} more (-o json lists all)" if len(ids) > CALLS_SHOWN else ""
    return f"{len(ids)} calls: {', '.join(ids[:CALLS_SHOWN])}{more}"


def notes(plan: ErasePlan) -> list[str]:
    """What the table does not say."""
    said = ["out of reach of this command, and yours to look after:", *(f"  - {place}" for place in OUT_OF_REACH)]
    said.append(NO_TOPIC_COMPACTED)
    if plan.remains:
        said.append("a rewind or a replay before then writes its events once more, to be kept as long again")
    return said


def requests_table(requests: Sequence[Request]) -> Table:
    """Erasures that are not complete yet."""
    rows = [
        (
            request.erasure_id,
            request.who,
            shown(request.requested_at),
            request.kind,
            len(request.call_ids),
            _moment(request.until, none="never" if request.waiting else "-"),
        )
        for request in requests
    ]
    return table("Erasures that are not complete", REQUEST_COLUMNS, rows, right=("erasure", "calls"))


def plan_json(plan: ErasePlan, *, erased: Erased | None) -> dict[str, object]:
    """For scripts; `erased` is null for a plan."""
    return {
        "subject": plan.subject,
        "calls": [call.call_id for call in plan.calls],
        "topics": [
            {
                "topic": holding.topic,
                "records": holding.records,
                "newest": holding.newest,
                "gone_at_the_latest": holding.until,
            }
            for holding in plan.holdings
        ],
        "rows": [{"what": what, "count": count, "kept": kept} for what, count, kept in _rows(plan)],
        "remains": plan.remains,
        "gone_at_the_latest": plan.until,
        "out_of_reach": OUT_OF_REACH,
        "erased": None
        if erased is None
        else {
            "erasure_id": erased.erasure_id,
            "claims": erased.claims,
            "conflicts": erased.conflicts,
            "completed": erased.completed,
        },
    }


def _holding_row(holding: Holding) -> tuple[object, ...]:
    return holding.topic, "records", holding.records, _moment(holding.newest), BY_RETENTION, _until(holding)


def _rows(plan: ErasePlan) -> list[tuple[str, int, bool]]:
    """Rows of PostgreSQL: what, how many, and whether they stay."""
    counted = [
        (what, sum(count(call) for call in calls), kept)
        for calls, kept in ((plan.erasable, False), (plan.kept, True))
        for what, count in (("claims", lambda call: len(call.claims)), ("conflicts", lambda call: call.conflicts))
    ]
    return [row for row in counted if row[1]]


def _until(holding: Holding) -> str:
    return _moment(holding.until, none="never: retention.ms is -1")


def _moment(moment: datetime | None, *, none: str = "-") -> str:
    return none if moment is None else shown(moment)
