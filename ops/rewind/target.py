"""Says what a rewind is about and where it goes, as operators say it: pure.

`ops.rewind.plan` turns a target into an offset per partition.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

import orjson

from ops.kit.errors import UsageError
from ops.kit.settings import OffsetSettings
from ops.kit.times import milliseconds, parse_age, parse_time, shown
from schemas.body import BYTE_ORDER_MARK
from schemas.topics import TopicNames

TARGET_OPTIONS = "--to, --since, --to-earliest, --to-latest, --to-offset, --shift-by, --from-file, --to-group"
_SCOPE = re.compile(r"(?P<topic>[A-Za-z0-9._-]*)(:(?P<partitions>[0-9]+(,[0-9]+)*))?")


@dataclass(frozen=True, slots=True)
class RewindScope:
    """Names a group's offsets in a topic; `partitions` None: all of them."""

    settings: OffsetSettings
    group: str
    topic: str
    partitions: tuple[int, ...] | None = None

    @property
    def names(self) -> TopicNames:
        return TopicNames(self.settings.kafka_topic_prefix)

    @property
    def ours(self) -> bool:
        """Whether these are the processors' offsets in the raw log, and not those of a team downstream."""
        return self.group == self.settings.processor_group and self.topic == self.names.raw


@dataclass(frozen=True, slots=True)
class ToTime:
    """Goes to the first record with at least this broker timestamp."""

    timestamp_ms: int
    said: str


@dataclass(frozen=True, slots=True)
class ToEarliest:
    """Goes to the first record that is kept."""


@dataclass(frozen=True, slots=True)
class ToLatest:
    """Goes to the end of the log."""


@dataclass(frozen=True, slots=True)
class ToOffset:
    """Goes to this offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class ShiftBy:
    """Goes so many records back (negative) or forth."""

    records: int


@dataclass(frozen=True, slots=True)
class ToTargets:
    """Goes to the offsets of an earlier plan; other partitions stay."""

    targets: Mapping[int, int]
    said: str


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Goes where another group is; partitions in which it has no committed offset stay."""

    group: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Goes back to where the group was before a rewind, in partitions that have not got there by themselves."""

    rewind_id: int
    before: Mapping[int, int | None]


Target: TypeAlias = ToTime | ToEarliest | ToLatest | ToOffset | ShiftBy | ToTargets | ToGroup | Undo


def target_of(
    *,
    now: datetime,
    to: str | None = None,
    since: str | None = None,
    earliest: bool = False,
    latest: bool = False,
    offset: int | None = None,
    shift: int | None = None,
    file: ToTargets | None = None,
    other_group: str | None = None,
) -> Target:
    """Choose the one target that was given, by the options of the command line; `file` is what the file says.

    Raises:
        UsageError: none, more than one, or one that cannot be read.
    """
    given = [
        None if to is None else _to_time(parse_time(to)),
        None if since is None else _to_time(now - parse_age(since), f", {since} ago"),
        ToEarliest() if earliest else None,
        ToLatest() if latest else None,
        None if offset is None else ToOffset(offset),
        None if shift is None else ShiftBy(shift),
        file,
        None if other_group is None else ToGroup(other_group),
    ]
    targets = [target for target in given if target is not None]
    if len(targets) != 1:
        raise UsageError(f"give exactly one of {TARGET_OPTIONS}")
    return targets[0]


def _to_time(moment: datetime, more: str = "") -> ToTime:
    return ToTime(milliseconds(moment), shown(moment) + more)


def describe(target: Target) -> str:  # noqa: PLR0911 - one answer for each target
    """Say a target in words."""
    match target:
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
    """Parse topic and partitions of `T`, `T:0,3` or `:0,3`; None for what is not named.

    Raises:
        UsageError: it is none of these.
    """
    found = _SCOPE.fullmatch(text)
    if found is None or not text:
        raise UsageError(f"{text!r} is not a topic; write a topic's full name, or with partitions: name:0,3")
    partitions = found["partitions"]
    numbers = tuple(sorted({int(number) for number in partitions.split(",")})) if partitions else None
    return found["topic"] or None, numbers


class PlanFile(NamedTuple):
    """Holds what a plan's file says."""

    group: str
    topic: str
    target: ToTargets


def parse_plan(text: bytes, *, name: str) -> PlanFile:
    """Parse the text of a plan's file; of its partitions only `partition` and `target`.

    Raises:
        UsageError: it is no plan.
    """
    try:
        document = orjson.loads(text.removeprefix(BYTE_ORDER_MARK))  # some editors write it
        group, topic = document["group"], document["topic"]
        found = {item["partition"]: item["target"] for item in document["partitions"]}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{name} is not a plan; write one with --plan-out") from error
    targets = {number: target for number, target in found.items() if target is not None}
    offsets = all(type(number) is int and number >= 0 for number in (*targets, *targets.values()))
    if not isinstance(group, str) or not isinstance(topic, str) or not offsets:
        raise UsageError(f"{name} is not a plan; write one with --plan-out")
    return PlanFile(group, topic, ToTargets(targets, name))
