"""Topics as they must be, as they are, and what differs: pure. `ops.topics.run` talks to the broker."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ops.kit.errors import UsageError
from ops.kit.times import parse_age
from schemas.topics import DAY_MS, RAW, TOPICS, TopicNames

MIN_IN_SYNC = "min.insync.replicas"
REPLICAS_OF_A_CLUSTER = 3
RETENTION = "retention.ms"
# Records go with their segment, so a segment must not collect them for long; the brokers' default is 7 days.
SEGMENT = "segment.ms"
SEGMENT_MS = DAY_MS
SHORTEST = timedelta(hours=1)
SHORTEST_RAW = timedelta(days=1)  # processors that are down for longer than this lose webhooks
IN_SYNC_OF_A_CLUSTER = 2  # with 3 replicas and acks=all: one broker may be lost without loss or standstill


_GROWN = 'leave it, and add none to the others: docs/runbook.md, "A topic has grown"'


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: as wanted, or as found on the broker (`config` then holds every value the broker reports)."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as wanted."""

    topic: str
    what: str
    wanted: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What `apply` does: create the missing topics, unless anything differs."""

    missing: tuple[TopicSpec, ...]
    present: tuple[TopicSpec, ...]
    differences: tuple[Difference, ...]


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
    kept = retention or {}
    in_sync = {MIN_IN_SYNC: str(IN_SYNC_OF_A_CLUSTER)} if replication_factor >= REPLICAS_OF_A_CLUSTER else {}
    return tuple(
        TopicSpec(
            name=names.of(topic),
            partitions=partitions or topic.partitions,
            replication_factor=replication_factor,
            config=topic.config | in_sync | _retention(kept.get(topic.short_name)),
        )
        for topic in TOPICS
    )


def compacted(topic: TopicSpec) -> bool:
    """Whether its records are kept by key, and not by age."""
    return topic.config.get("cleanup.policy") == "compact"


def shown_retention(topic: TopicSpec) -> str:
    """A topic's retention, in words."""
    if compacted(topic):
        return "the last of each key"
    milliseconds = int(topic.config[RETENTION])
    if milliseconds < 0:
        return "for ever"
    days = milliseconds / DAY_MS
    return f"{days:g} days" if days >= 1 else f"{days * 24:g} hours"


def compare(wanted: Iterable[TopicSpec], found: Mapping[str, TopicSpec]) -> TopicPlan:
    """What is missing and what differs; configuration that we do not set is none of our business."""
    missing, present, differences = [], [], []
    alike = len({topic.partitions for topic in found.values()}) < 2
    for topic in wanted:
        actual = found.get(topic.name)
        if actual is None:
            missing.append(topic)
        else:
            present.append(actual)
            differences += _differences(topic, actual, alike=alike)
    return TopicPlan(tuple(missing), tuple(present), tuple(differences))


def _retention(age: timedelta | None) -> dict[str, str]:
    if age is None:
        return {}
    milliseconds = age // timedelta(milliseconds=1)
    return {RETENTION: str(milliseconds), SEGMENT: str(min(SEGMENT_MS, milliseconds))}


def _differences(wanted: TopicSpec, found: TopicSpec, *, alike: bool) -> list[Difference]:
    """`alike`: all topics that are there have equally many partitions."""
    name = wanted.name
    differences = []
    if wanted.partitions != found.partitions:
        # A key's partition is its hash modulo the count: growing would move calls and break their order.
        remedy = f"pass --partitions {found.partitions}: a count never changes" if alike else _GROWN
        differences.append(Difference(name, "partitions", str(wanted.partitions), str(found.partitions), remedy))
    if wanted.replication_factor != found.replication_factor:
        remedy = f"pass --replication-factor {found.replication_factor}, or kafka-reassign-partitions.sh"
        both = str(wanted.replication_factor), str(found.replication_factor)
        differences.append(Difference(name, "replication factor", *both, remedy))
    for key, value in wanted.config.items():
        actual = found.config.get(key, "")
        if actual != value:
            remedy = f"kafka-configs.sh --alter --topic {name} --add-config {key}={value}"
            if key == RETENTION:
                remedy += ", or pass --retention with what is wanted"
            differences.append(Difference(name, key, value, actual or "(not reported)", remedy))
    return differences
