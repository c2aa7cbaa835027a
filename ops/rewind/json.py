"""Plans and audit rows as JSON, and a plan's way back from a file: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from ops.kit.errors import UsageError
from ops.rewind.plan import Forecast, Move, Plan
from ops.rewind.target import ToTargets
from schemas.body import BYTE_ORDER_MARK


def plan_document(plan: Plan) -> dict[str, object]:
    """For `-o json` and `--plan-out`; `partitions[].target` is what `--from-file` reads."""
    return {
        "group": plan.group,
        "topic": plan.topic,
        "goal": plan.goal,
        "records": plan.records,
        "skipped": plan.skipped,
        "partitions": [_move_document(move) for move in plan.moves],
        "forecast": None if plan.forecast is None else _forecast_document(plan.forecast),
        "estimated_seconds": plan.seconds,
        "rate_records_per_second": None if plan.rate is None else plan.rate.records_per_second,
        "rate_source": None if plan.rate is None else plan.rate.source,
    }


def _move_document(move: Move) -> dict[str, object]:
    time = None if move.target_ms is None else datetime.fromtimestamp(move.target_ms / 1000, UTC)
    return {
        "partition": move.partition,
        "committed": move.committed,
        "target": move.target,
        "log_start": move.log_start,
        "log_end": move.log_end,
        "records": move.records,
        "skipped": move.skipped,
        "target_time": None if time is None else time.isoformat(timespec="milliseconds"),
        "expired": move.expired,
    }


def _forecast_document(forecast: Forecast) -> dict[str, object]:
    return {
        "records": forecast.records,
        "events": forecast.events,
        "dead_letters": forecast.dead_letters,
        "silent": forecast.silent,
    }


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a plan's file says."""

    group: str
    topic: str
    goal: ToTargets


def read_plan(text: bytes, *, name: str) -> PlanFile:
    """A plan back from its file.

    Raises:
        UsageError: it is no plan.
    """
    try:
        document = orjson.loads(text.removeprefix(BYTE_ORDER_MARK))  # some editors write it
        group, topic = document["group"], document["topic"]
        targets = {
            number: target
            for number, target in ((item["partition"], item["target"]) for item in document["partitions"])
            if target is not None
        }
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{name} is not a plan; write one with --plan-out") from error
    whole = [*targets, *targets.values()]
    if not isinstance(group, str) or not isinstance(topic, str) or not all(_is_offset(number) for number in whole):
        raise UsageError(f"{name} is not a plan; write one with --plan-out")
    return PlanFile(group, topic, ToTargets(targets, name))


def _is_offset(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def offsets_document(offsets: Mapping[int, int | None]) -> str:
    """Offsets by partition for the audit's jsonb columns."""
    return orjson.dumps({str(partition): offset for partition, offset in offsets.items()}).decode()


def offsets_of(document: Mapping[str, int | None]) -> dict[int, int | None]:
    """The inverse of `offsets_document`, of what PostgreSQL hands back."""
    return {int(partition): offset for partition, offset in document.items()}
