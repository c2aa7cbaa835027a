"""Topics as they must be, as they are, and what differs: pure. `ops.topics_kafka` talks to the broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.topics import TOPICS, TopicNames

MIN_IN_SYNC = "min.insync.replicas"
REPLICAS_OF_A_CLUSTER = 3
IN_SYNC_OF_A_CLUSTER = 2  # with 3 replicas and acks=all: one broker may be lost without loss or standstill


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


def wanted_topics(names: TopicNames, *, replication_factor: int, partitions: int | None) -> tuple[TopicSpec, ...]:
    """The registry's topics for one environment; `partitions` overrides the registry's count."""
    in_sync = {MIN_IN_SYNC: str(IN_SYNC_OF_A_CLUSTER)} if replication_factor >= REPLICAS_OF_A_CLUSTER else {}
    return tuple(
        TopicSpec(
            name=names.of(topic),
            partitions=partitions or topic.partitions,
            replication_factor=replication_factor,
            config=topic.config | in_sync,
        )
        for topic in TOPICS
    )


def compare(wanted: Iterable[TopicSpec], found: Mapping[str, TopicSpec]) -> TopicPlan:
    """What is missing and what differs; configuration that we do not set is none of our business."""
    missing, present, differences = [], [], []
    for topic in wanted:
        actual = found.get(topic.name)
        if actual is None:
            missing.append(topic)
        else:
            present.append(actual)
            differences += _differences(topic, actual)
    return TopicPlan(tuple(missing), tuple(present), tuple(differences))


def _differences(wanted: TopicSpec, found: TopicSpec) -> list[Difference]:
    name = wanted.name
    differences = []
    if wanted.partitions != found.partitions:
        # A key's partition is its hash modulo the count: growing would move calls and break their order.
        remedy = f"pass --partitions {found.partitions}, or make the next version of the topic: a count never changes"
        differences.append(Difference(name, "partitions", str(wanted.partitions), str(found.partitions), remedy))
    if wanted.replication_factor != found.replication_factor:
        remedy = f"pass --replication-factor {found.replication_factor}, or kafka-reassign-partitions.sh"
        both = str(wanted.replication_factor), str(found.replication_factor)
        differences.append(Difference(name, "replication factor", *both, remedy))
    for key, value in wanted.config.items():
        actual = found.config.get(key, "")
        if actual != value:
            remedy = f"kafka-configs.sh --alter --topic {name} --add-config {key}={value}"
            differences.append(Difference(name, key, value, actual or "(not reported)", remedy))
    return differences
