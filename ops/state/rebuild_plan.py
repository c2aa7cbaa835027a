"""What `state rebuild` will do to each partition, and when it must not: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.kit.scan import Range


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """Records [start, end) of one partition are claimed again; `committed` None: nothing to do there.

    Without a commit nothing was ever emitted, and a progress without a commit would make processors refuse the
    partition (it looks as if offsets had expired).
    """

    partition: int
    start: int
    end: int
    committed: int | None
    progress: int | None

    @property
    def records(self) -> int:
        """How many offsets there are to read."""
        return max(0, self.end - self.start)


def plan_rebuild(
    ranges: Mapping[int, Range], committed: Mapping[int, int], progress: Mapping[int, int]
) -> list[PartitionPlan]:
    """From the log's start to what was committed or claimed: further on, the processors claim by themselves.

    Up to the progress, too: a commit may show only some time after it was made, and progress is never behind it.
    """
    plans = []
    for partition, found in sorted(ranges.items()):
        offset, known = committed.get(partition), progress.get(partition)
        end = found.start
        if offset is not None:
            end = max(found.start, min(max(offset, known or 0), found.end))
        plans.append(PartitionPlan(partition, found.start, end, offset, known))
    return plans


def obstacle(plans: Sequence[PartitionPlan], ranges: Mapping[int, Range]) -> str | None:
    """Why the state table must not be wiped or filled now; None if nothing stands against it."""
    for plan in plans:
        known = max(plan.committed or 0, plan.progress or 0)
        if known > ranges[plan.partition].end:
            return (
                f"partition {plan.partition} ends at {ranges[plan.partition].end}, but {known} was processed: the "
                "topic was made again or lost records; give the new log its own PROCESSOR_LOG_ID"
            )
        if plan.committed is None and plan.progress:
            return (
                f"partition {plan.partition} was processed up to {plan.progress}, but the group has no committed "
                "offset there; without this progress the processors would emit everything again: commit offsets first"
            )
    return None


def shares(plans: Sequence[PartitionPlan], workers: int) -> list[list[PartitionPlan]]:
    """The partitions dealt out to workers, the longest first, each to the one with the least so far."""
    hands: list[list[PartitionPlan]] = [[] for _ in range(workers)]
    for plan in sorted(plans, key=lambda plan: plan.records, reverse=True):
        if plan.committed is not None:
            min(hands, key=lambda hand: sum(other.records for other in hand)).append(plan)
    return [hand for hand in hands if hand]
