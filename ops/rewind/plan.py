"""Computes what a rewind would do, from a target and what the broker says: offsets by partition, and the cost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from ops.kit.errors import StaleError, UnsafeError
from ops.rewind.target import ShiftBy, Target, ToEarliest, ToGroup, ToLatest, ToOffset, ToTargets, ToTime, Undo


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """Holds where one partition is.

    `committed` and `progress` (of the state table) are None if there is none. `lookup` is what the target needed to
    ask: the offset found for a time, or the other group's committed offset.
    """

    partition: int
    committed: int | None
    log_start: int
    log_end: int
    progress: int | None = None
    lookup: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionMove:
    """Says what happens to one partition. `target` None: it stays as it is.

    `records` would be read again, `skipped` never (offsets, transaction markers included). `expired`: retention has
    removed what was asked for. `target_time` is the broker's timestamp at the target, None at the log's end.
    """

    partition: int
    committed: int | None
    target: int | None
    log_start: int
    log_end: int
    records: int = 0
    skipped: int = 0
    expired: bool = False
    target_time: datetime | None = None

    @property
    def moves(self) -> bool:
        """Whether the committed offset changes."""
        return self.target is not None and self.target != self.committed


@dataclass(frozen=True, slots=True)
class Forecast:
    """Counts what comes out of the records read again."""

    also_in_json: ClassVar = ("silent",)

    records: int
    events: int
    dead_letters: int

    @property
    def silent(self) -> int:
        """Duplicates and transaction markers."""
        return max(0, self.records - self.events - self.dead_letters)


@dataclass(frozen=True, slots=True)
class RewindPlan:
    """Holds a rewind before it happens; its JSON is what --plan-out writes and `ops.rewind.target.parse_plan` reads.

    Forecast and rate, with how that is known, are there for the processors' group only.
    """

    also_in_json: ClassVar = ("records", "skipped", "estimated_seconds")

    group: str
    topic: str
    goal: str
    partitions: tuple[PartitionMove, ...]
    forecast: Forecast | None = None
    rate_records_per_second: float | None = None
    rate_source: str | None = None

    @property
    def records(self) -> int:
        """Records that would be read again."""
        return sum(move.records for move in self.partitions)

    @property
    def skipped(self) -> int:
        """Records that would never be processed."""
        return sum(move.skipped for move in self.partitions)

    @property
    def targets(self) -> dict[int, int]:
        """The new offset of each partition that moves."""
        return {move.partition: move.target for move in self.partitions if move.moves and move.target is not None}

    @property
    def before(self) -> dict[int, int | None]:
        """The old offset of each partition that moves."""
        return {move.partition: move.committed for move in self.partitions if move.moves}

    @property
    def estimated_seconds(self) -> float | None:
        """How long reading again will take, about."""
        return None if self.rate_records_per_second is None else self.records / self.rate_records_per_second


def plan_moves(target: Target, positions: Iterable[PartitionPosition]) -> tuple[PartitionMove, ...]:
    """Plan a move per partition.

    Raises:
        UnsafeError: a target is beyond the end of the log, was named and removed by retention, or cannot be computed.
    """
    return tuple(_move(target, found) for found in positions)


def _move(target: Target, found: PartitionPosition) -> PartitionMove:
    stays = PartitionMove(found.partition, found.committed, None, found.log_start, found.log_end)
    wished = _wished(target, found)
    if wished is None:
        return stays
    if wished > found.log_end:
        raise UnsafeError(f"partition {found.partition} ends at {found.log_end}: offset {wished} is beyond its end")
    if wished < found.log_start and isinstance(target, ToOffset):
        # Whoever names an offset means that record; a time or a distance means "as far back as there is".
        raise UnsafeError(
            f"partition {found.partition} begins at {found.log_start}: offset {wished} was removed by retention; "
            "--to-earliest goes to the first record kept"
        )
    offset = max(wished, found.log_start)
    processed = _processed(target, found)
    records, skipped = max(0, processed - offset), max(0, offset - processed)
    return replace(stays, target=offset, expired=wished < offset, records=records, skipped=skipped)


def _wished(target: Target, found: PartitionPosition) -> int | None:  # noqa: PLR0911 - one answer for each target
    match target:
        case ToEarliest():
            return found.log_start
        case ToLatest():
            return found.log_end
        case ToOffset(offset=offset):
            return offset
        case ToTime():
            # No record that late: its first one will be the next that comes.
            return found.log_end if found.lookup is None else found.lookup
        case ToGroup():
            return found.lookup
        case ShiftBy(records=records):
            if found.committed is None:
                raise UnsafeError(f"partition {found.partition} has no committed offset to shift")
            return found.committed + records
        case ToTargets(targets=targets):
            return targets.get(found.partition)
        case Undo(before=before):
            old = before.get(found.partition)
            passed = old is None or (found.committed is not None and found.committed >= old)
            return None if passed else old


def _processed(target: Target, found: PartitionPosition) -> int:
    """Every record below this offset has been processed: what comes after must not be passed over silently."""
    if found.committed is None:
        return max(found.log_start, found.progress or 0)
    # The offset before a rewind had been committed; the state table is asked whether it knows those records.
    return max(found.committed, found.progress or 0) if isinstance(target, Undo) else found.committed


def dated(target: Target, moves: Iterable[PartitionMove], timestamps: Mapping[int, int]) -> tuple[PartitionMove, ...]:
    """Add the times (ms) at the targets; that a time is before the first record kept is seen only now."""
    return tuple(_dated(target, move, timestamps.get(move.partition)) for move in moves)


def _dated(target: Target, move: PartitionMove, target_ms: int | None) -> PartitionMove:
    if target_ms is None:
        return move
    expired = move.expired
    if isinstance(target, ToTime) and move.target == move.log_start > 0:
        expired = target_ms > target.timestamp_ms
    return replace(move, target_time=datetime.fromtimestamp(target_ms / 1000, UTC), expired=expired)


def refuse_skipping(plan: RewindPlan) -> None:
    """Refuse a plan by which the processors would never see some records.

    Raises:
        UnsafeError: it is one.
    """
    skipping = [move.partition for move in plan.partitions if move.skipped]
    if skipping:
        raise UnsafeError(
            f"{plan.skipped} records of partition {_listed(skipping)} were never processed, and would be passed over "
            "without their events; to do that anyway: --skip-unprocessed"
        )


def refuse_unkept(target: Target, plan: RewindPlan) -> None:
    """Refuse a plan from a file that names records which retention has removed since.

    Raises:
        StaleError: it is one.
    """
    _refuse_stale([move.partition for move in plan.partitions if isinstance(target, ToTargets) and move.expired])


def refuse_changed(shown: Sequence[PartitionMove], fresh: Sequence[PartitionMove]) -> None:
    """Refuse a plan if the target of a partition is another one than was shown.

    A partition that needs no move any more (it got there by itself) is none of them.

    Raises:
        StaleError: some are.
    """
    old = {move.partition: move.target for move in shown}
    _refuse_stale([move.partition for move in fresh if move.target not in {None, old[move.partition]}])


def _refuse_stale(partitions: Sequence[int]) -> None:
    if partitions:
        where = _listed(partitions)
        raise StaleError(f"the plan is stale: the target in partition {where} is another one now; nothing was touched")


def _listed(partitions: Sequence[int]) -> str:
    return ", ".join(map(str, partitions))
