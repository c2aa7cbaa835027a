"""What `topics apply` finds missing or different."""

from dataclasses import replace

from ops.topics import MIN_IN_SYNC, TopicSpec, compare, default_replication_factor, wanted_topics
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
    actual = [replace(topic, config={**topic.config, "segment.bytes": "1"}) for topic in WANTED]

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
