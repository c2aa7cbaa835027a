"""Reads which topics exist, with their partitions and configuration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from ops.kit.errors import NotAuthorizedError, NotFoundError, OpsError
from runtime.broker_errors import broker_words

AUTHORIZATION_FAILED = (29, 31)  # Kafka protocol error codes: topic, cluster


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """Describes a topic: as wanted, or as found on the broker (`config` then holds every value it reports)."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


async def read_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicSpec]:
    """The topics among `names` that exist, in this order, with their configuration."""
    found = await _read_layout(admin, names)
    configs = await _read_configs(admin, found) if found else {}
    return {name: replace(topic, config=configs[name]) for name, topic in found.items()}


async def known_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicSpec]:
    """All of these topics, with their configuration.

    Raises:
        NotFoundError: one of them is missing.
    """
    return _all_of(names, await read_topics(admin, names))


async def partitions_of(admin: AIOKafkaAdminClient, topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        NotFoundError: there is no such topic.
    """
    return (await partitions_of_all(admin, [topic]))[topic]


async def partitions_of_all(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has.

    Raises:
        NotFoundError: one of them is missing.
    """
    return {name: topic.partitions for name, topic in _all_of(topics, await _read_layout(admin, topics)).items()}


def _all_of(names: Iterable[str], found: dict[str, TopicSpec]) -> dict[str, TopicSpec]:
    for name in names:
        if name not in found:
            raise NotFoundError(f"no topic {name}: run `ringover-ops topics apply`, or check KAFKA_TOPIC_PREFIX")
    return found


async def _read_layout(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicSpec]:
    # All topics, not ours by name: asking for a missing one by name creates it where the broker allows that.
    described = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    return {
        name: TopicSpec(name, len(partitions), min(len(partition["replicas"]) for partition in partitions))
        for name in names
        if (partitions := described.get(name))
    }


async def _read_configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, Mapping[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _type, name, entries in response.resources:
            raise_for(code, message, f"cannot read the configuration of {name}")
            configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return configs


def raise_for(code: int, message: str | None, doing: str) -> None:
    """Raise NotAuthorizedError or OpsError for an error code of the broker's answer; 0 is none."""
    if code:
        error: KafkaError = for_code(code)(message or "")
        kind = NotAuthorizedError if code in AUTHORIZATION_FAILED else OpsError
        raise kind(f"{doing}: {broker_words(error)}")
