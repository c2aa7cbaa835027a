"""What an identity may really do: each action is tried on the server, with a client that is not the project's own."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka._model import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import KafkaError, NewTopic

from deploy.kafka.acls import Acl
from schemas.topics import TopicNames
from tests.support.secured import bindings_of
from tests.support.waiting import until

SECONDS = 20
REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError._NOENT,  # of the client itself: it looked for the topic's leaders, and may not even see the topic
}
MOVING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}


class OnKafka:
    """One identity; each method raises KafkaException when the broker does not let it."""

    def __init__(self, options: Mapping[str, Any], names: TopicNames, group: str) -> None:
        self._options = {**options, "log_level": 0}
        self._names = names
        self._group = group
        self._admin = AdminClient(self._options)
        self._producer = Producer(self._options)

    def actions(self) -> dict[str, Callable[[], None]]:
        """Everything that is tried, by a name for the table; what destroys comes last."""
        names = self._names
        topics = {"raw": names.raw, "call": names.call, "recording": names.recording, "dead letters": names.dead_letter}
        group, stranger = self._group, f"{names.prefix}stranger"
        return {
            **{f"read {name}": partial(self._read, topic) for name, topic in topics.items()},
            **{f"write {name}": partial(self._write, topic) for name, topic in topics.items()},
            "see the group": lambda: self._done(self._admin.describe_consumer_groups([group])),
            "commit for the group": lambda: self._commit(group, names.raw),
            "commit for billing": lambda: self._commit("billing.one", names.call),
            "commit for a stranger": lambda: self._commit(stranger, names.call),
            "own a partition": lambda: self._transact(f"{group}|{names.raw}|0"),
            "use a stranger's transactional id": lambda: self._transact(f"{stranger}|{names.raw}|0"),
            "see settings": lambda: self._done(self._admin.describe_configs([self._settings(names.raw)])),
            "change settings": lambda: self._done(self._admin.incremental_alter_configs([self._changed(names.raw)])),
            "make a topic": lambda: self._make(f"{names.prefix}ringover.other.v1"),
            "make a stranger's topic": lambda: self._make(stranger),
            "give rights": lambda: self._done(self._admin.create_acls(self._right())),
            "remove records": lambda: self._done(self._admin.delete_records([TopicPartition(names.raw, 0, 0)])),
            "delete a topic": lambda: self._done(self._admin.delete_topics([names.raw])),
        }

    async def settled(self) -> None:
        """Wait until the groups have coordinators, which a new broker makes at the first question."""

        async def answered() -> bool:
            try:
                self._commit(self._group, self._names.raw)
                self._commit("billing.one", self._names.call)
            except KafkaException as error:
                if error.args[0].code() in MOVING:
                    return False
                raise
            return True

        await until(answered, what="the groups' coordinators")

    def allowed(self) -> set[str]:
        """The actions that worked; any error but a refusal is raised."""
        return {name for name, action in self.actions().items() if _allowed(action)}

    def _read(self, topic: str) -> None:
        hidden = self._admin.list_topics(topic, timeout=SECONDS).topics[topic].error
        if hidden is not None:
            raise KafkaException(hidden)
        consumer = Consumer({**self._options, "group.id": "none", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while (message := consumer.poll(SECONDS)) is not None:
                error = message.error()
                if error is None:
                    return
                if error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # it is in no group: that says nothing
                    raise KafkaException(error)
            raise AssertionError(f"nothing came of {topic}")
        finally:
            consumer.close()

    def _write(self, topic: str) -> None:
        errors = []
        self._producer.produce(topic, b"{}", partition=0, on_delivery=lambda error, _: errors.append(error))
        assert self._producer.flush(SECONDS) == 0
        if errors[0] is not None:
            raise KafkaException(errors[0])

    def _commit(self, group: str, topic: str) -> None:
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
        (asked,) = self._admin.alter_consumer_group_offsets([wanted]).values()
        (done,) = asked.result(timeout=SECONDS).topic_partitions
        if done.error is not None:
            raise KafkaException(done.error)

    def _transact(self, identity: str) -> None:
        Producer({**self._options, "transactional.id": identity}).init_transactions(SECONDS)

    def _make(self, topic: str) -> None:
        self._done(self._admin.create_topics([NewTopic(topic, 1, 1)], validate_only=True))

    def _settings(self, topic: str) -> ConfigResource:
        return ConfigResource(ResourceType.TOPIC, topic)

    def _changed(self, topic: str) -> ConfigResource:
        entry = ConfigEntry("retention.ms", "2592000000", incremental_operation=AlterConfigOpType.SET)
        return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])

    def _right(self) -> Any:
        return bindings_of(Acl("nobody", "topic", f"{self._names.prefix}none", ("Read",), "a try"))

    def _done(self, asked: Mapping[Any, "Future[Any]"]) -> None:
        for future in asked.values():
            future.result(timeout=SECONDS)


def _allowed(action: Callable[[], None]) -> bool:
    try:
        action()
    except KafkaException as error:
        if error.args[0].code() in REFUSALS:
            return False
        raise
    return True


def allowed_in_database(url: str, statements: Mapping[str, str]) -> set[str]:
    """The statements that worked, each undone; any error but a missing right is raised."""
    found = set()
    with psycopg.connect(url) as connection:
        for name, statement in statements.items():
            try:
                connection.execute(statement.encode())
                found.add(name)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
                pass
            finally:
                connection.rollback()
    return found
