"""What `topics apply` finds missing or different."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ops.kit.errors import UsageError
from ops.kit.topics import TopicSpec
from ops.topics.plan import (
    MIN_IN_SYNC,
    compare,
    default_replication_factor,
    parse_retention,
    shown_retention,
    wanted_topics,
)
from schemas.topics import TOPICS, TopicNames

NAMES = TopicNames("t.")
WANTED = wanted_topics(NAMES, replication_factor=1, partitions=None)


def found(*topics: TopicSpec) -> dict[str, TopicSpec]:
    return {topic.name: topic for topic in topics}


def test_wanted_topics_are_the_registry_under_the_prefix() -> None:
    assert [topic.name for topic in WANTED] == [f"t.{topic.name}" for topic in TOPICS]
    assert {topic.partitions for topic in WANTED} == {12}


def test_partitions_override_the_registry() -> None:
    assert {topic.partitions for topic in wanted_topics(NAMES, replication_factor=1, partitions=3)} == {3}


def test_one_broker_means_one_replica_and_more_mean_three() -> None:
    assert [default_replication_factor(brokers) for brokers in (1, 2, 3, 9)] == [1, 3, 3, 3]


def test_three_replicas_need_two_in_sync() -> None:
    cluster = wanted_topics(NAMES, replication_factor=3, partitions=None)

    assert {topic.config[MIN_IN_SYNC] for topic in cluster} == {"2"}
    assert all(MIN_IN_SYNC not in topic.config for topic in WANTED)


def test_an_empty_broker_misses_all() -> None:
    plan = compare(WANTED, {})

    assert (plan.missing, plan.present, plan.differences) == (WANTED, (), ())


def test_equal_topics_differ_in_nothing_whatever_else_is_configured() -> None:
    actual = [replace(topic, config={**topic.config, "flush.ms": "1"}) for topic in WANTED]

    plan = compare(WANTED, found(*actual))

    assert (plan.missing, plan.differences) == ((), ())
    assert len(plan.present) == len(WANTED)


def test_each_difference_is_named_with_both_values() -> None:
    raw = replace(WANTED[0], partitions=6, replication_factor=2, config={**WANTED[0].config, "retention.ms": "1000"})

    plan = compare(WANTED, found(raw, *WANTED[1:]))

    assert [(diff.topic, diff.what, diff.wanted, diff.found) for diff in plan.differences] == [
        ("t.ringover.raw.v1", "partitions", "12", "6"),
        ("t.ringover.raw.v1", "replication factor", "1", "2"),
        ("t.ringover.raw.v1", "retention.ms", "2592000000", "1000"),
    ]
    assert "retention.ms=2592000000" in plan.differences[2].remedy


def test_a_setting_that_the_broker_does_not_report_differs() -> None:
    raw = replace(WANTED[0], config={})

    plan = compare(WANTED[:1], found(raw))

    assert {diff.found for diff in plan.differences} == {"(not reported)"}


def test_retention_is_overridden_per_topic_and_segments_follow() -> None:
    kept = parse_retention(["recording=7d", "dead-letter=12h"])
    wanted = wanted_topics(NAMES, replication_factor=1, partitions=None, retention=kept)
    raw, call, recording, dead_letter, offset = wanted

    assert kept == {"recording": timedelta(days=7), "dead-letter": timedelta(hours=12)}
    assert (raw, call, offset) == (*WANTED[:2], WANTED[4])
    shown = [(topic.config["retention.ms"], topic.config["segment.ms"]) for topic in (recording, dead_letter)]
    assert shown == [("604800000", "86400000"), ("43200000", "43200000")]
    assert [shown_retention(topic) for topic in (raw, recording, dead_letter)] == ["30 days", "7 days", "12 hours"]
    assert shown_retention(replace(raw, config={"retention.ms": "-1"})) == "for ever"
    assert shown_retention(offset) == "the last of each key"


def test_an_overridden_retention_is_no_difference_and_the_remedy_names_the_option() -> None:
    kept = wanted_topics(NAMES, replication_factor=1, partitions=None, retention={"call": timedelta(days=7)})

    assert compare(kept, found(*kept)).differences == ()
    (difference,) = compare(WANTED, found(*kept)).differences
    assert (difference.topic, difference.what) == ("t.ringover.call.v1", "retention.ms")
    assert "--retention" in difference.remedy


@pytest.mark.parametrize(
    "texts",
    [
        ["call"],
        ["call=x"],
        ["calls=7d"],
        ["call=7d", "call=8d"],
        ["raw=23h"],
        ["call=59m"],
        ["call=-1d"],
        [""],
        ["offset=7d"],
    ],
)
def test_a_retention_that_cannot_be_meant_is_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_retention(texts)


def test_topics_that_grew_apart_are_told_without_advice_to_grow_the_others() -> None:
    grown = [replace(topic, partitions=24 if topic.name.endswith("raw.v1") else 12) for topic in WANTED]
    for partitions in (12, 24):
        wanted = wanted_topics(NAMES, replication_factor=1, partitions=partitions)

        differences = compare(wanted, found(*grown)).differences

        assert differences
        for difference in differences:
            assert difference.what == "partitions"
            assert "add none to the others" in difference.remedy
            assert "--partitions" not in difference.remedy


def test_topics_of_another_count_alike_need_the_option() -> None:
    alike = [replace(topic, partitions=24) for topic in WANTED]

    assert {difference.remedy for difference in compare(WANTED, found(*alike)).differences} == {
        "pass --partitions 24: a count never changes"
    }
