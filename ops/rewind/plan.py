"""What a rewind would do: pure. From a goal and what the broker says to a target per partition, and to its cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ops.kit.errors import UnsafeError
from ops.rewind.target import Goal, ShiftBy, ToEarliest, ToGroup, ToLatest, ToOffset, ToTargets, ToTime, Undo


@dataclass(frozen=True, slots=True)
class Facts:
    """One partition as it is.

    `committed` and `progress` (of the state table) are None if there is none. `lookup` is what the goal needed to ask:
    the offset found for a time, or the other group's committed offset.
    """

    partition: int
    committed: int | None
    log_start: int
    log_end: int
    progress: int | None = None
    lookup: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What happens to one partition. `target` None: it stays as it is.

    `records` would be read again, `skipped` never (offsets, transaction markers included). `expired`: retention has
    removed what was asked for. `target_ms` is the broker's timestamp at the target, None at the log's end.
    """

    partition: int
    committed: int | None
    target: int | None
    log_start: int
    log_end: int
    records: int = 0
    skipped: int = 0
    expired: bool = False
    target_ms: int | None = None

    @property
    def moves(self) -> bool:
        """Whether the committed offset changes."""
        return self.target is not None and self.target != self.committed


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes out of the records read again: the rest are duplicates, which stay silent, or transaction markers."""

    records: int
    events: int
    dead_letters: int

    @property
    def silent(self) -> int:
        """Duplicates and transaction markers."""
        return max(0, self.records - self.events - self.dead_letters)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast records are processed again, and how we know."""

    records_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A rewind before it happens. Without forecast and rate for groups that are not the processors'."""

    group: str
    topic: str
    goal: str
    moves: tuple[Move, ...]
    forecast: Forecast | None = None
    rate: Rate | None = None

    @property
    def records(self) -> int:
        """Records that would be read again."""
        return sum(move.records for move in self.moves)

    @property
    def skipped(self) -> int:
        """Records that would never be processed."""
        return sum(move.skipped for move in self.moves)

    @property
    def targets(self) -> dict[int, int]:
        """The new offset of each partition that moves."""
        return {move.partition: move.target for move in self.moves if move.moves and move.target is not None}

    @property
    def before(self) -> dict[int, int | None]:
        """The old offset of each partition that moves."""
        return {move.partition: move.committed for move in self.moves if move.moves}

    @property
    def seconds(self) -> float | None:
        """How long reading again will take, about."""
        return None if self.rate is None else self.records / self.rate.records_per_second


def plan_moves(goal: Goal, facts: Iterable[Facts]) -> tuple[Move, ...]:
    """A move per partition.

    Raises:
        UnsafeError: a target is beyond the end of the log, was named and removed by retention, or cannot be computed.
    """
    return tuple(_move(goal, found) for found in facts)


def _move(goal: Goal, facts: Facts) -> Move:
    stays = Move(facts.partition, facts.committed, None, facts.log_start, facts.log_end)
    wished = _wished(goal, facts)
    if wished is None:
        return stays
    if wished > facts.log_end:
        raise UnsafeError(f"partition {facts.partition} ends at {facts.log_end}: offset {wished} is beyond its end")
    if wished < facts.log_start and isinstance(goal, ToOffset):
        # Whoever names an offset means that record; a time or a distance means "as far back as there is".
        raise UnsafeError(
            f"partition {facts.partition} begins at {facts.log_start}: offset {wished} was removed by retention; "
            "--to-earliest goes to the first record kept"
        )
    target = max(wished, facts.log_start)
    processed = _processed(goal, facts)
    return replace(
        stays,
        target=target,
        expired=wished < target,
        records=max(0, processed - target),
        skipped=max(0, target - processed),
    )


def _wished(goal: Goal, facts: Facts) -> int | None:  # noqa: PLR0911 - one answer for each goal
    match goal:
        case ToEarliest():
            return facts.log_start
        case ToLatest():
            return facts.log_end
        case ToOffset(offset=offset):
            return offset
        case ToTime():
            # No record that late: its first one will be the next that comes.
            return facts.log_end if facts.lookup is None else facts.lookup
        case ToGroup():
            return facts.lookup
        case ShiftBy(records=records):
            if facts.committed is None:
                raise UnsafeError(f"partition {facts.partition} has no committed offset to shift")
            return facts.committed + records
        case ToTargets(targets=targets):
            return targets.get(facts.partition)
        case Undo(before=before):
            old = before.get(facts.partition)
            passed = old is None or (facts.committed is not None and facts.committed >= old)
            return None if passed else old


def _processed(goal: Goal, facts: Facts) -> int:
    """Every record below this offset has been processed: what comes after must not be passed over silently."""
    if facts.committed is None:
        return max(facts.log_start, facts.progress or 0)
    if isinstance(goal, Undo):
        # The offset before a rewind had been committed; the state table is asked whether it knows those records.
        return max(facts.committed, facts.progress or 0)
    return facts.committed


def refuse_skipping(plan: Plan) -> None:
    """Refuse a plan by which the processors would never see some records.

    Raises:
        UnsafeError: it is one.
    """
    skipping = [move.partition for move in plan.moves if move.skipped]
    if skipping:
        where = ", ".join(str(partition) for partition in skipping)
        raise UnsafeError(
            f"{plan.skipped} records of partition {where} were never processed, and would be passed over without "
            "their events; to do that anyway: --skip-unprocessed"
        )


def changed(shown: Sequence[Move], fresh: Sequence[Move]) -> list[int]:
    """The partitions whose target is another one than was shown.

    A partition that needs no move any more (it got there by itself) is none of them.
    """
    old = {move.partition: move.target for move in shown}
    return [move.partition for move in fresh if move.target is not None and move.target != old[move.partition]]


def dated(goal: Goal, moves: Iterable[Move], timestamps: Mapping[int, int]) -> tuple[Move, ...]:
    """The moves with the time at their targets; a time before the first record kept is seen only now."""
    return tuple(_dated(goal, move, timestamps.get(move.partition)) for move in moves)


def _dated(goal: Goal, move: Move, target_ms: int | None) -> Move:
    expired = move.expired
    if isinstance(goal, ToTime) and move.target == move.log_start > 0 and target_ms is not None:
        expired = target_ms > goal.timestamp_ms
    return replace(move, target_ms=target_ms, expired=expired)
