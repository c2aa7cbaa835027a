"""Compares the topics that the registry wants with those that exist: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from ops.kit.errors import UsageError
from ops.kit.times import days, parse_age
from ops.kit.topics import TopicSpec
from schemas.topics import DAY_MS, RAW, TOPICS, TopicNames

MIN_IN_SYNC = "min.insync.replicas"
REPLICAS_OF_A_CLUSTER = 3
RETENTION = "retention.ms"
SEGMENT = "segment.ms"
SEGMENT_MS = (
    DAY_MS  # records go with their segment, so it must not collect them for long; the brokers' default is 7 days
)
SHORTEST = timedelta(hours=1)
SHORTEST_RAW = timedelta(days=1)  # processors that are down for longer than this lose webhooks
IN_SYNC_OF_A_CLUSTER = 2  # with 3 replicas and acks=all: one broker may be lost without loss or standstill
_GROWN = 'leave it, and add none to the others: docs/runbook.md, "A topic has grown"'


@dataclass(frozen=True, slots=True)
class Difference:
    """Tells one thing about one topic that is not as wanted, and what an operator can do about it."""

    topic: str
    what: str
    wanted: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Tells which topics `apply` creates, unless anything differs."""

    also_in_json: ClassVar = ("created",)

    missing: tuple[TopicSpec, ...]
    present: tuple[TopicSpec, ...]
    differences: tuple[Difference, ...]

    @property
    def created(self) -> list[str]:
        """Names of the topics that `apply` creates."""
        return [] if self.differences else [topic.name for topic in self.missing]


def default_replication_factor(brokers: int) -> int:
    """1 for a single broker (development), else 3."""
    return 1 if brokers == 1 else REPLICAS_OF_A_CLUSTER


def parse_retention(texts: Sequence[str]) -> dict[str, timedelta]:
    """`call=7d` and the like, by the topic's short name.

    Raises:
        UsageError: no such topic, no age, one topic twice, or too short to be meant.
    """
    known = {
        topic.short_name: SHORTEST_RAW if topic is RAW else SHORTEST for topic in TOPICS if RETENTION in topic.config
    }
    found: dict[str, timedelta] = {}
    for text in texts:
        name, _, age = text.partition("=")
        if name not in known or name in found:
            raise UsageError(f"--retention {text}: write TOPIC=AGE, once for each of {', '.join(known)}")
        found[name] = parse_age(age)
        if found[name] < known[name]:
            raise UsageError(f"--retention {text}: shorter than {known[name] / timedelta(hours=1):g} hours")
    return found


def wanted_topics(
    names: TopicNames,
    *,
    replication_factor: int,
    partitions: int | None,
    retention: Mapping[str, timedelta] | None = None,
) -> tuple[TopicSpec, ...]:
    """The registry's topics for one environment; `partitions` and `retention` (by short name) override the registry."""
    in_sync = {MIN_IN_SYNC: str(IN_SYNC_OF_A_CLUSTER)} if replication_factor >= REPLICAS_OF_A_CLUSTER else {}
    return tuple(
        TopicSpec(
            name=names.of(topic),
            partitions=partitions or topic.partitions,
            replication_factor=replication_factor,
            config=topic.config | in_sync | _retention((retention or {}).get(topic.short_name)),
        )
        for topic in TOPICS
    )


def shown_retention(topic: TopicSpec) -> str:
    """A topic's retention, in words."""
    if topic.config.get("cleanup.policy") == "compact":
        return "the last of each key"
    milliseconds = int(topic.config[RETENTION])
    return "for ever" if milliseconds < 0 else days(timedelta(milliseconds=milliseconds))


def compare(wanted: Iterable[TopicSpec], found: Mapping[str, TopicSpec]) -> TopicPlan:
    """Tell what is missing and what differs; configuration that we do not set is none of our business."""
    alike = len({topic.partitions for topic in found.values()}) < 2
    both = [(topic, found.get(topic.name)) for topic in wanted]
    return TopicPlan(
        missing=tuple(topic for topic, actual in both if actual is None),
        present=tuple(actual for _, actual in both if actual is not None),
        differences=tuple(
            difference
            for topic, actual in both
            if actual is not None
            for difference in _differences(topic, actual, alike=alike)
        ),
    )


def _retention(age: timedelta | None) -> dict[str, str]:
    if age is None:
        return {}
    milliseconds = age // timedelta(milliseconds=1)
    return {RETENTION: str(milliseconds), SEGMENT: str(min(SEGMENT_MS, milliseconds))}


def _differences(wanted: TopicSpec, found: TopicSpec, *, alike: bool) -> Iterator[Difference]:
    """Yield each; `alike`: all topics that are there have equally many partitions."""
    name = wanted.name
    if wanted.partitions != found.partitions:
        # A key's partition is its hash modulo the count: growing would move calls and break their order.
        remedy = f"pass --partitions {found.partitions}: a count never changes" if alike else _GROWN
        yield Difference(name, "partitions", str(wanted.partitions), str(found.partitions), remedy)
    if wanted.replication_factor != found.replication_factor:
        remedy = f"pass --replication-factor {found.replication_factor}, or kafka-reassign-partitions.sh"
        yield Difference(
            name, "replication factor", str(wanted.replication_factor), str(found.replication_factor), remedy
        )
    for key, value in wanted.config.items():
        actual = found.config.get(key, "")
        if actual != value:
            remedy = f"kafka-configs.sh --alter --topic {name} --add-config {key}={value}"
            if key == RETENTION:
                remedy += ", or pass --retention with what is wanted"
            yield Difference(name, key, value, actual or "(not reported)", remedy)
