"""`list`: dead letters grouped by stage and code, each raw record counted once: pure."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ops.dead_letters.model import Identity, Letter, LetterId


@dataclass(slots=True)
class Group:
    """The dead letters of one stage and code.

    `records` counts what is in the topic: one more for each pass over the raw log. Times are the records', which carry
    the raw record's timestamp.
    """

    stage: str
    code: str
    sample: LetterId
    message: str
    first_ms: int
    last_ms: int
    records: int = 0
    members: set[Identity] = field(default_factory=set)

    @property
    def origins(self) -> int:
        """Distinct raw records, and each body that the ingress put aside."""
        return len(self.members)

    def replayed(self, replayed: AbstractSet[Identity]) -> int:
        """How many of `origins` were sent back to the raw topic, whichever of their dead letters it was."""
        return len(self.members & replayed)


@dataclass(slots=True)
class Groups:
    """Collects letters one by one; keeps no body."""

    found: dict[tuple[str, str], Group] = field(default_factory=dict)

    def add(self, letter: Letter) -> None:
        """Count one more."""
        why, time = letter.why, letter.timestamp_ms
        group = self.found.get((why.stage, why.code))
        if group is None:
            group = Group(why.stage, why.code, letter.letter_id, why.message, time, time)
            self.found[why.stage, why.code] = group
        group.records += 1
        group.members.add(letter.identity)
        group.last_ms = max(group.last_ms, time)
        if (time, letter.letter_id) < (group.first_ms, group.sample):
            group.first_ms, group.sample, group.message = time, letter.letter_id, why.message

    def by_size(self) -> list[Group]:
        """The largest first."""
        return sorted(self.found.values(), key=lambda group: (-group.origins, group.stage, group.code))
