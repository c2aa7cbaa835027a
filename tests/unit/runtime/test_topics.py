"""What is said of topics that are not as the registry wants them."""

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, Gauge

from runtime import topics
from runtime.kafka import create_no_topics
from runtime.topics import Setting, Settings, TopicWatch, harm, oddities, unequal
from schemas.topics import CALL, DAY_MS, DEAD_LETTER, OFFSET, RAW, TOPICS, Topic

RAW_NAME, DEAD_NAME = f"t.{RAW.name}", f"t.{DEAD_LETTER.name}"


def settings(topic: Topic, *, own: bool = True, **changed: str) -> Settings:
    config = topic.config | {name.replace("_", "."): value for name, value in changed.items()}
    return {name: Setting(value, own) for name, value in config.items()}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topics_as_wanted_are_no_problem_and_nor_are_topics_of_which_nothing_is_known(topic: Topic) -> None:
    assert [*harm("x", topic, settings(topic)), *oddities("x", topic, settings(topic))] == []
    assert [*harm("x", topic, {}), *oddities("x", topic, {})] == []


@pytest.mark.parametrize(
    ("topic", "changed", "said"),
    [
        (RAW, {"cleanup_policy": "compact"}, "cleanup.policy compact and needs delete"),
        (CALL, {"cleanup_policy": "delete,compact"}, "cleanup.policy delete,compact and needs delete"),
        (DEAD_LETTER, {"cleanup_policy": "compact"}, "it loses records"),
        (OFFSET, {"cleanup_policy": "delete"}, "cleanup.policy delete and needs compact"),
        (OFFSET, {"cleanup_policy": "compact,delete"}, "cleanup.policy compact,delete and needs compact"),
        (RAW, {"message_timestamp_type": "CreateTime"}, "message.timestamp.type CreateTime and needs LogAppendTime"),
    ],
)
def test_settings_that_hurt_are_told(topic: Topic, changed: Mapping[str, str], said: str) -> None:
    found = settings(topic, **changed)

    assert [said in words for words in harm("x", topic, found)] == [True]
    assert [*oddities("x", topic, found)] == []


WEEK = str(7 * DAY_MS)


@pytest.mark.parametrize(
    ("own", "changed", "said"),
    [
        (False, {"retention_ms": WEEK}, "topic x keeps records for 7 days, by the brokers' default, and not 30"),
        (True, {"retention_ms": WEEK}, None),  # somebody meant it
        (False, {"retention_ms": "-1"}, None),
        (False, {"retention_ms": str(60 * DAY_MS)}, None),
        (True, {"max_message_bytes": "1048588"}, "topic x takes records of 1048588 bytes and not of 2097152"),
    ],
)
def test_settings_that_hurt_less_are_notes(own: bool, changed: Mapping[str, str], said: str | None) -> None:
    found = settings(RAW, own=own, **changed)

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


async def test_settings_are_asked_for_when_a_topic_appears_and_then_once_a_minute(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(topics.time, "monotonic", lambda: now)
    watched = watch()
    for _ in range(3):
        await watched.look({RAW_NAME: 3})
    await watched.look({RAW_NAME: 3, DEAD_NAME: 3})
    assert broker.asked == [[RAW_NAME], [RAW_NAME, DEAD_NAME]]

    now += topics.LOOK_SECONDS
    await watched.look({RAW_NAME: 3, DEAD_NAME: 3})
    assert len(broker.asked) == 3


async def test_problem_and_note_follow_what_is_seen_and_an_answer_that_lacks_changes_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "LOOK_SECONDS", 0.0)
    watched = watch()
    broker.answer = {RAW_NAME: settings(RAW, cleanup_policy="compact")}
    await watched.look({RAW_NAME: 3, DEAD_NAME: 3, "other": 9})
    assert watched.problem is not None
    assert watched.note is None

    broker.answer = {}
    await watched.look({RAW_NAME: 6, DEAD_NAME: 3})
    assert watched.problem is not None
    assert watched.note is not None
    assert "topics differ in partitions (raw 6, dead-letter 3)" in watched.note
    assert f"topic {RAW_NAME} has 6 partitions and had 3 at the start" in watched.note

    broker.answer = {RAW_NAME: settings(RAW)}
    await watched.look({RAW_NAME: 3, DEAD_NAME: 3})
    assert (watched.problem, watched.note) == (None, None)


def test_topics_are_asked_for_without_leave_to_create_them() -> None:
    from aiokafka.protocol.metadata import MetadataRequest, MetadataRequest_v5  # noqa: PLC0415 - the client's own

    create_no_topics()
    create_no_topics()

    for asked in (MetadataRequest(["a"]), MetadataRequest(["a"], True)):
        assert asked.build(MetadataRequest_v5).to_object()["allow_auto_topic_creation"] is False
