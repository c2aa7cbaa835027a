"""Where a rewind goes, as operators say it: pure. `ops.rewind.plan` turns a goal into an offset per partition."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ops.kit.errors import UsageError
from ops.kit.times import milliseconds, parse_age, parse_time, shown

GOAL_OPTIONS = "--to, --since, --to-earliest, --to-latest, --to-offset, --shift-by, --from-file, --to-group"
_SCOPE = re.compile(r"(?P<topic>[A-Za-z0-9._-]*)(:(?P<partitions>[0-9]+(,[0-9]+)*))?")


@dataclass(frozen=True, slots=True)
class ToTime:
    """The first record with at least this broker timestamp."""

    timestamp_ms: int
    said: str


@dataclass(frozen=True, slots=True)
class ToEarliest:
    """The first record that is kept."""


@dataclass(frozen=True, slots=True)
class ToLatest:
    """The end of the log."""


@dataclass(frozen=True, slots=True)
class ToOffset:
    """This offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class ShiftBy:
    """So many records back (negative) or forth."""

    records: int


@dataclass(frozen=True, slots=True)
class ToTargets:
    """The offsets of an earlier plan; other partitions stay."""

    targets: Mapping[int, int]
    said: str


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Where another group is; partitions in which it has no committed offset stay."""

    group: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Back to where the group was before a rewind, for partitions that have not got there by themselves."""

    rewind_id: int
    before: Mapping[int, int | None]


Goal: TypeAlias = ToTime | ToEarliest | ToLatest | ToOffset | ShiftBy | ToTargets | ToGroup | Undo


@dataclass(frozen=True, slots=True)
class GoalOptions:
    """The options of the command line that name a goal; None or False: not given. `file` is what the file says."""

    to: str | None = None
    since: str | None = None
    earliest: bool = False
    latest: bool = False
    offset: int | None = None
    shift: int | None = None
    file: ToTargets | None = None
    other_group: str | None = None


def goal_of(options: GoalOptions, *, now: datetime) -> Goal:
    """The one goal that was given.

    Raises:
        UsageError: none, more than one, or one that cannot be read.
    """
    goals = list(_given(options, now))
    if len(goals) != 1:
        raise UsageError(f"give exactly one of {GOAL_OPTIONS}")
    return goals[0]


def _given(options: GoalOptions, now: datetime) -> list[Goal]:
    goals: list[Goal] = []
    if options.to is not None:
        moment = parse_time(options.to)
        goals.append(ToTime(milliseconds(moment), shown(moment)))
    if options.since is not None:
        moment = now - parse_age(options.since)
        goals.append(ToTime(milliseconds(moment), f"{shown(moment)}, {options.since} ago"))
    if options.earliest:
        goals.append(ToEarliest())
    if options.latest:
        goals.append(ToLatest())
    if options.offset is not None:
        goals.append(ToOffset(options.offset))
    if options.shift is not None:
        goals.append(ShiftBy(options.shift))
    if options.file is not None:
        goals.append(options.file)
    if options.other_group is not None:
        goals.append(ToGroup(options.other_group))
    return goals


def describe(goal: Goal) -> str:  # noqa: PLR0911 - one answer for each goal
    """A goal in words."""
    match goal:
        case ToTime(said=said):
            return f"to {said}"
        case ToEarliest():
            return "to the first record kept"
        case ToLatest():
            return "to the end of the log"
        case ToOffset(offset=offset):
            return f"to offset {offset}"
        case ShiftBy(records=records):
            return f"by {records:+d} records"
        case ToTargets(said=said):
            return f"to the offsets of {said}"
        case ToGroup(group=group):
            return f"to where group {group} is"
        case Undo(rewind_id=rewind_id):
            return f"undo of rewind {rewind_id}"


def parse_scope(text: str) -> tuple[str | None, tuple[int, ...] | None]:
    """Topic and partitions of `T`, `T:0,3` or `:0,3`; None for what is not named.

    Raises:
        UsageError: it is none of these.
    """
    found = _SCOPE.fullmatch(text)
    if found is None or not text:
        raise UsageError(f"{text!r} is not a topic; write a topic's full name, or with partitions: name:0,3")
    partitions = found["partitions"]
    numbers = tuple(sorted({int(number) for number in partitions.split(",")})) if partitions else None
    return found["topic"] or None, numbers
