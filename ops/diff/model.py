"""Holds what a diff finds: how many raw records went from what to what, and examples of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NamedTuple

from processors.model import Record


class DiffKind(StrEnum):
    """Compares what the topics hold of a raw record with what today's code makes of it."""

    SAME = "identical"
    CHANGED = "changed"  # an event, but other bytes
    NEW = "new"  # an event today, none on the topics
    GONE = "no_longer"  # an event on the topics, none today
    DEAD_SAME = "dead_letter_identical"
    DEAD_CHANGED = "dead_letter_other_code"
    DEAD_NEW = "dead_letter_new"
    DEAD_GONE = "dead_letter_no_longer"  # and no event either: a duplicate today
    SILENT = "silent"  # a duplicate, then and today
    REMOVED = "removed"  # so old that what the topics held of it may be gone by retention


#: Kinds in which nothing is known that a pass of today's code would write otherwise.
AGREEING = frozenset({DiffKind.SAME, DiffKind.DEAD_SAME, DiffKind.SILENT, DiffKind.REMOVED})


@dataclass(frozen=True, slots=True)
class Transition:
    """Says what raw records went from and to; codes only where it was, or is, a dead letter."""

    also_in_json: ClassVar = ("before", "after")

    kind: DiffKind
    code_before: str | None = None
    code_after: str | None = None

    @property
    def before(self) -> str:
        """The record on the topics, in words; only for kinds that differ."""
        if self.code_before:
            return f"dead letter {self.code_before}"
        return "event" if self.kind in {DiffKind.CHANGED, DiffKind.GONE} else "nothing"

    @property
    def after(self) -> str:
        """The outcome of today's code, likewise."""
        if self.code_after:
            return f"dead letter {self.code_after}"
        return "event" if self.kind in {DiffKind.CHANGED, DiffKind.NEW} else "nothing"


class TransitionCount(NamedTuple):
    """Counts the raw records of one transition."""

    transition: Transition
    records: int


class OutputPlace(NamedTuple):
    """Says where an output is."""

    topic: str
    partition: int
    offset: int


class OutputEvent(NamedTuple):
    """Holds one event: its topic and what is written."""

    topic: str
    record: Record


HEADER = "header "  # before the name of a field that is one


class FieldChange(NamedTuple):
    """Holds one field that differs; absent is None on that side."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Example:
    """Holds one raw record that differs. `fields` only for changed events; nothing is masked here."""

    partition: int
    offset: int
    call_id: str | None
    transition: Transition
    fields: tuple[FieldChange, ...] = ()


@dataclass(slots=True)
class DiffResult:
    """Sums up what a pass of today's code over the ranges would change.

    `owners_moved`: records whose key the claims give to another record than the log does with today's code. A pass
    follows the claims, and so do the counts; a rebuild of the claims would change the owners.
    """

    also_in_json: ClassVar = ("records", "differs", "counts", "differences")

    examples: list[Example] = field(default_factory=list)
    owners_moved: int = 0
    _transitions: Counter[Transition] = field(default_factory=Counter)

    def add(self, transition: Transition, records: int = 1) -> None:
        self._transitions[transition] += records

    @property
    def records(self) -> int:
        return self._transitions.total()

    @property
    def counts(self) -> Mapping[DiffKind, int]:
        """Raw records by kind, every kind."""
        counts = dict.fromkeys(DiffKind, 0)
        for transition, count in self._transitions.items():
            counts[transition.kind] += count
        return counts

    @property
    def differences(self) -> list[TransitionCount]:
        """Transitions that differ, the most frequent first."""
        return [TransitionCount(*found) for found in self._transitions.most_common() if found[0].kind not in AGREEING]

    @property
    def differs(self) -> bool:
        """Whether a pass of today's code would write anything else than the topics hold."""
        return bool(self.differences)
