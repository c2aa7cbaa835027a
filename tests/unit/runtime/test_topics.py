"""What is said of topics that are not as the registry wants them."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from prometheus_client import CollectorRegistry, Gauge

from runtime import aiokafka_fixes, topics
from runtime.topics import Setting, Settings, TopicWatch, harm, oddities, unequal
from schemas.topics import CALL, DAY_MS, DEAD_LETTER, OFFSET, RAW, TOPICS, Topic

RAW_NAME, DEAD_NAME = f"t.{RAW.name}", f"t.{DEAD_LETTER.name}"


def settings(topic: Topic, changed: Mapping[str, str] = MappingProxyType({}), *, own: bool = True) -> Settings:
    return {name: Setting(value, own) for name, value in {**topic.config, **changed}.items()}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topics_as_wanted_are_no_problem_and_nor_are_topics_of_which_nothing_is_known(topic: Topic) -> None:
    assert [*harm("x", topic, settings(topic)), *oddities("x", topic, settings(topic))] == []
    assert [*harm("x", topic, {}), *oddities("x", topic, {})] == []


@pytest.mark.parametrize(
    ("topic", "changed", "said"),
    [
        (RAW, {"cleanup.policy": "compact"}, "cleanup.policy compact and needs delete"),
        (CALL, {"cleanup.policy": "delete,compact"}, "cleanup.policy delete,compact and needs delete"),
        (DEAD_LETTER, {"cleanup.policy": "compact"}, "it loses records"),
        (OFFSET, {"cleanup.policy": "delete"}, "cleanup.policy delete and needs compact"),
        (OFFSET, {"cleanup.policy": "compact,delete"}, "cleanup.policy compact,delete and needs compact"),
        (RAW, {"message.timestamp.type": "CreateTime"}, "message.timestamp.type CreateTime and needs LogAppendTime"),
    ],
)
def test_settings_that_hurt_are_told(topic: Topic, changed: Mapping[str, str], said: str) -> None:
    found = settings(topic, changed)

    assert [said in words for words in harm("x", topic, found)] == [True]
    assert [*oddities("x", topic, found)] == []


WEEK = str(7 * DAY_MS)


@pytest.mark.parametrize(
    ("own", "changed", "said"),
    [
        (False, {"retention.ms": WEEK}, "topic x keeps records for 7 days, by the brokers' default, and not 30"),
        (True, {"retention.ms": WEEK}, None),  # somebody meant it
        (False, {"retention.ms": "-1"}, None),
        (False, {"retention.ms": str(60 * DAY_MS)}, None),
        (True, {"max.message.bytes": "1048588"}, "topic x takes records of 1048588 bytes and not of 2097152"),
    ],
)
def test_settings_that_hurt_less_are_notes(own: bool, changed: Mapping[str, str], said: str | None) -> None:
    found = settings(RAW, changed, own=own)

    assert [*oddities("x", RAW, found)] == ([said] if said else [])
    assert [*harm("x", RAW, found)] == []


def test_unequal_counts_are_told_with_each_topic() -> None:
    assert [*unequal({"a": 12, "b": 12})] == []
    assert [*unequal({})] == []
    assert [*unequal({"a": 24, "b": 12})] == [f"topics differ in partitions (a 24, b 12): {topics.GROWN}"]


class Broker:
    """Answers for the brokers, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: dict[str, Settings] = {}
        self.asked: list[list[str]] = []

    async def read_settings(self, _options: object, names: list[str]) -> dict[str, Settings]:
        self.asked.append(names)
        return self.answer


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(topics, "read_settings", found.read_settings)
    return found


def watch() -> TopicWatch:
    gauge = Gauge("partitions", "", ["topic"], registry=CollectorRegistry())
    return TopicWatch({}, [RAW_NAME, DEAD_NAME], gauge)


async def test_settings_are_asked_for_when_a_topic_appears_or_changes_and_then_once_a_minute(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("runtime.topics.time.monotonic", lambda: now)
    watched = watch()
    broker.answer = {RAW_NAME: settings(RAW), DEAD_NAME: {}}  # of one we may not ask
    for _ in range(3):
        await watched.look({RAW_NAME: 3})
    await watched.look({RAW_NAME: 3, DEAD_NAME: 3})
    assert broker.asked == [[RAW_NAME], [RAW_NAME, DEAD_NAME]]

    await watched.look({RAW_NAME: 1, DEAD_NAME: 3})
    assert len(broker.asked) == 3

    now += topics.LOOK_SECONDS - 1
    await watched.look({RAW_NAME: 1, DEAD_NAME: 3})
    assert len(broker.asked) == 3
    now += 1
    await watched.look({RAW_NAME: 1, DEAD_NAME: 3})
    assert len(broker.asked) == 4


@pytest.mark.parametrize(
    "answer", [{}, {RAW_NAME: settings(RAW, {"cleanup.policy": "compact"})}], ids=["unanswered", "a problem"]
)
async def test_settings_are_asked_for_again_soon_until_all_is_answered_and_well(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Settings]
) -> None:
    now = 1000.0
    monkeypatch.setattr("runtime.topics.time.monotonic", lambda: now)
    watched = watch()
    broker.answer = answer
    for asked in (1, 2):
        await watched.look({RAW_NAME: 3})
        await watched.look({RAW_NAME: 3})
        assert len(broker.asked) == asked
        now += topics.SOON_SECONDS

    broker.answer = {RAW_NAME: settings(RAW)}
    await watched.look({RAW_NAME: 3})
    now += topics.SOON_SECONDS
    await watched.look({RAW_NAME: 3})
    assert len(broker.asked) == 3
    assert watched.problem is None


async def test_problem_and_note_follow_what_is_seen_and_an_answer_that_lacks_changes_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "LOOK_SECONDS", 0.0)
    watched = watch()
    broker.answer = {RAW_NAME: settings(RAW, {"cleanup.policy": "compact"})}

    async def told(**counts: int) -> tuple[str | None, str | None]:
        await watched.look({RAW_NAME: counts["raw"], DEAD_NAME: 3, "other": 9})
        return watched.problem, watched.note

    compacted = f"topic {RAW_NAME} has cleanup.policy compact and needs delete: it loses records"
    assert await told(raw=3) == (compacted, None)

    broker.answer = {}
    differ = f"topics differ in partitions (raw 6, dead-letter 3): {topics.GROWN}"
    grown = f"topic {RAW_NAME} has 6 partitions and had 3 at the start: {topics.GROWN}"
    assert await told(raw=6) == (compacted, f"{differ}; {grown}")

    broker.answer = {RAW_NAME: settings(RAW)}
    assert await told(raw=3) == (None, None)


def test_topics_are_asked_for_without_leave_to_create_them() -> None:
    from aiokafka.protocol.metadata import MetadataRequest, MetadataRequest_v5  # noqa: PLC0415 - the client's own

    aiokafka_fixes.apply()
    aiokafka_fixes.apply()

    for asked in (MetadataRequest(["a"]), MetadataRequest(["a"], True)):
        assert asked.build(MetadataRequest_v5).to_object()["allow_auto_topic_creation"] is False
