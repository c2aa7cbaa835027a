"""What a diff finds, as values: how many raw records went from what to what, and examples of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from processors.model import Record


class Kind(StrEnum):
    """What the topics hold of a raw record, and what today's code makes of it, taken together."""

    SAME = "identical"
    CHANGED = "changed"  # an event, but other bytes
    NEW = "new"  # an event today, none on the topics
    GONE = "no longer"  # an event on the topics, none today
    DEAD_SAME = "dead letter, same code"
    DEAD_CHANGED = "dead letter, other code"
    DEAD_NEW = "new dead letter"
    DEAD_GONE = "no longer a dead letter"  # and no event either: a duplicate today
    SILENT = "silent"  # a duplicate, then and today
    REMOVED = "removed"  # so old that what the topics held of it may be gone by retention


#: Kinds in which nothing is known that a pass of today's code would write otherwise.
AGREEING = frozenset({Kind.SAME, Kind.DEAD_SAME, Kind.SILENT, Kind.REMOVED})


@dataclass(frozen=True, slots=True)
class Transition:
    """What raw records went from and to; codes only where it was, or is, a dead letter."""

    kind: Kind
    code_before: str | None = None
    code_after: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Output:
    """One event: its topic and what is written."""

    topic: str
    record: Record


HEADER = "header "  # before the name of a field that is one


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs; absent is None on that side."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Example:
    """One raw record that differs. `fields` only for changed events; values are not masked here."""

    partition: int
    offset: int
    call_id: str | None
    transition: Transition
    fields: tuple[FieldChange, ...] = ()


@dataclass(slots=True)
class DiffResult:
    """What a pass of today's code over the ranges would change.

    `owners_moved`: records whose key the claims give to another record than the log does with today's code. A pass
    follows the claims, and so do the counts; a rebuild of the claims would change the owners.
    """

    records: int = 0
    transitions: Counter[Transition] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    owners_moved: int = 0

    def count(self, kind: Kind) -> int:
        """Raw records of this kind."""
        return sum(count for transition, count in self.transitions.items() if transition.kind is kind)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Raw records by kind, every kind."""
        return {kind: self.count(kind) for kind in Kind}

    @property
    def differs(self) -> bool:
        """Whether a pass of today's code would write anything else than the topics hold."""
        return any(count and kind not in AGREEING for kind, count in self.counts.items())

    def differences(self) -> Iterator[tuple[Transition, int]]:
        """Transitions that differ, the most frequent first."""
        for transition, count in self.transitions.most_common():
            if transition.kind not in AGREEING:
                yield transition, count
