"""Compares the topics on the brokers with what the registry wants, as a running process sees them.

Somebody may have made them otherwise: a broker that makes topics by itself, another program, an administrator's hand.
What would lose or disorder records is a problem; what is only odd is a note.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAuthorizationFailedError
from prometheus_client import Gauge

from runtime.logs import logger
from schemas.topics import DAY_MS, RAW, Topic, topic_named

LOOK_SECONDS = 60.0  # between two questions for the settings
SOON_SECONDS = 5.0  # instead, while one is a problem or was not answered
ASK_SECONDS = 3.0
GROWN = 'docs/runbook.md, "A topic has grown"'
_OF_THE_TOPIC = 1  # the source of a setting: set on the topic itself, and not a default of the brokers

log = logger(__name__)


class Setting(NamedTuple):
    """Holds a topic's setting; `own`: it was set on the topic itself, so somebody meant it."""

    value: str
    own: bool


Settings: TypeAlias = Mapping[str, Setting]


def harm(name: str, topic: Topic, found: Settings) -> Iterator[str]:
    """Names the settings of a topic that lose records or break the guarantee."""
    wanted = topic.config["cleanup.policy"]
    policy = found.get("cleanup.policy")
    if policy is not None and policy.value != wanted and "compact" in (wanted, *policy.value.split(",")):
        yield f"topic {name} has cleanup.policy {policy.value} and needs {wanted}: it loses records"
    clock = found.get("message.timestamp.type")
    if topic is RAW and clock is not None and clock.value != topic.config["message.timestamp.type"]:
        yield f"topic {name} has message.timestamp.type {clock.value} and needs LogAppendTime: times in it are untrue"


def oddities(name: str, topic: Topic, found: Settings) -> Iterator[str]:
    """Names the settings of a topic that differ and lose nothing; a retention set on the topic itself is meant."""
    kept, wanted = found.get("retention.ms"), topic.config.get("retention.ms")
    if kept is not None and wanted is not None and not kept.own and 0 <= int(kept.value) < int(wanted):
        days = int(kept.value) / DAY_MS
        yield f"topic {name} keeps records for {days:g} days, by the brokers' default, and not {int(wanted) // DAY_MS}"
    size, largest = found.get("max.message.bytes"), topic.config.get("max.message.bytes")
    if size is not None and largest is not None and int(size.value) < int(largest):
        yield f"topic {name} takes records of {size.value} bytes and not of {largest}"


def unequal(counts: Mapping[str, int]) -> Iterator[str]:
    """Says in words that topics differ in their number of partitions."""
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{_short(name)} {count}" for name, count in counts.items())
        yield f"topics differ in partitions ({told}): {GROWN}"


def _short(name: str) -> str:
    """`ringover.dead-letter.v1` is `dead-letter` to an operator."""
    topic = topic_named(name)
    return topic.name.split(".")[1] if topic else name


class TopicWatch:
    """Watches the partitions and settings of a process's topics.

    `problem`: what would lose or disorder records; `note`: what else is not as it should be. Both in words, or None.
    """

    def __init__(self, options: Mapping[str, Any], names: Sequence[str], gauge: Gauge) -> None:
        self.problem: str | None = None
        self.note: str | None = None
        self._options = options
        self._names = names
        self._gauge = gauge
        self._counts: dict[str, int] = {}
        self._first: dict[str, int] = {}  # counts when each topic was seen for the first time
        self._settings: dict[str, Settings] = {}
        self._due = 0.0
        self._told: set[str] = set()

    async def look(self, counts: Mapping[str, int]) -> None:
        """Note how many partitions the topics have now (0: none is seen), and ask for their settings when it is time.

        Never raises: without an answer, or the right to one, what is known stays.
        """
        seen = {name: counts[name] for name in self._names if counts.get(name)}
        if seen.items() - self._counts.items():
            self._due = 0.0  # made just now or anew, and by whom?
        self._counts = seen
        for name, count in seen.items():
            self._first.setdefault(name, count)
            topic = topic_named(name)
            self._gauge.labels(topic.name if topic else name).set(count)
        now = time.monotonic()
        answer = await read_settings(self._options, list(seen)) if now >= self._due else None
        self._settings |= {name: settings for name, settings in (answer or {}).items() if settings}
        self._judge()
        if answer is not None:
            settled = self.problem is None and answer.keys() >= seen.keys()
            self._due = now + (LOOK_SECONDS if settled else SOON_SECONDS)

    def _judge(self) -> None:
        known = [
            (name, topic, self._settings.get(name, {}))
            for name in self._counts
            if (topic := topic_named(name)) is not None
        ]
        problems = [words for found in known for words in harm(*found)]
        notes = [*unequal(self._counts), *self._grown(), *(words for found in known for words in oddities(*found))]
        self.problem, self.note = "; ".join(problems) or None, "; ".join(notes) or None
        told = {*problems, *notes}
        for words in sorted(told - self._told):
            log.warning("topics.differ", reason=words)
        if self._told and not told:
            log.info("topics.as_wanted")
        self._told = told

    def _grown(self) -> Iterator[str]:
        for name, count in self._counts.items():
            if count != self._first[name]:
                yield f"topic {name} has {count} partitions and had {self._first[name]} at the start: {GROWN}"


async def read_settings(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Settings]:
    """Ask the brokers for the settings of topics: none of one that we may not see, and nothing without an answer."""
    admin = AIOKafkaAdminClient(**options)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await admin.start()
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            responses = await admin.describe_configs(resources) if resources else []
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        log.debug("topics.not_described", reason=repr(error))
        return {}
    finally:
        await admin.close()
    return {
        name: {
            key: Setting(value, _own(response.API_VERSION, source)) for key, value, _, source, *_ in entries if value
        }
        for response in responses
        for code, _message, _type, name, entries in response.resources
        if code in {NoError.errno, TopicAuthorizationFailedError.errno}
    }


def _own(version: int, source: int) -> bool:
    """Version 0 tells whether it is a default, later ones where it is from."""
    return not source if version == 0 else source == _OF_THE_TOPIC
