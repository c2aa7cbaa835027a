"""Does the benchmark's work with Kafka by librdkafka: topics, offsets, filling a raw log, reading outputs back."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.errors import BenchError
from benchmarks.workload import Event, headers

TIMEOUT_SECONDS = 30.0
NOT_YET = {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION}
FETCH = 10_000  # messages a call
CONSUME_SECONDS = 0.1  # a call waits so long for that many
PARTITION_EOF = -191  # librdkafka's own code
QUEUED = 400_000  # messages that wait in the producer
KEY_HEADER = "ce_idempotencykey"

Config = dict[str, str | int | float | bool]
Offsets = dict[tuple[str, int], int]  # by topic and partition


class Kafka:
    """Makes topics, fills logs and reads outputs on one broker."""

    def __init__(self, bootstrap_servers: str) -> None:
        # Nothing but emergencies on stderr: the broker goes away before the client does.
        self._servers: Config = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self._admin = AdminClient(self._servers)

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, and wait until it can be used; raises KafkaException."""
        self._admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(TIMEOUT_SECONDS)
        self.ends([topic])

    def delete(self, prefix: str) -> None:
        """Remove every topic whose name begins so."""
        names = [name for name in self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics if name.startswith(prefix)]
        if names:
            for gone in self._admin.delete_topics(names).values():
                gone.result(TIMEOUT_SECONDS)

    def ends(self, topics: Iterable[str]) -> Offsets:
        """One past the last offset of each partition, as one who reads committed sees it; waits for new topics."""
        consumer = self._consumer("bench-ends")
        try:
            return {
                (topic, partition.partition): _end(consumer, partition)
                for topic in topics
                for partition in self._partitions(topic)
            }
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> Callable[[], int]:
        """Make a function that tells how far a group has committed, summed up over a topic that began at offset 0."""
        # Not read_committed: it would wait for transactions that are open.
        consumer = self._consumer(group, isolation="read_uncommitted")
        partitions = self._partitions(topic)

        last = 0

        def ask() -> int:
            nonlocal last
            with suppress(KafkaException):  # the group has no coordinator yet; who watches has a deadline
                found = consumer.committed(partitions, timeout=TIMEOUT_SECONDS)
                last = sum(max(0, partition.offset) for partition in found)
            return last

        return ask

    def fill(self, topic: str, events: Iterable[Event]) -> None:
        """Write a raw log as the ingress would; each event goes where its key belongs.

        Raises:
            BenchError: the broker refused a record.
        """
        failed: list[str] = []

        def noted(error: object, _message: Message) -> None:
            if error is not None:
                failed.append(str(error))

        producer = Producer(
            self._servers
            | {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2",
                "linger.ms": 5,
                "queue.buffering.max.messages": QUEUED + FETCH,
            }
        )
        for number, event in enumerate(events):
            producer.produce(
                topic, event.body, event.call_id, headers=cast("Any", headers(event.slug, number)), on_delivery=noted
            )
            if number % FETCH == 0:
                producer.poll(0)
                while len(producer) > QUEUED:
                    producer.poll(0.05)
        if producer.flush(TIMEOUT_SECONDS * 4) or failed:
            raise BenchError(f"{topic} could not be filled: {failed[:1] or 'not in time'}")

    def read_keys(self, since: Offsets) -> Counter[bytes]:
        """Count how often each idempotency key is in an output, read committed, from `since` to the end."""
        return Counter(_key(message) for message in self._read(since))

    def read_records(self, since: Offsets) -> Counter[bytes]:
        """Count how often each record's key is in a topic, from `since` to the end."""
        return Counter(message.key() or b"" for message in self._read(since))

    def _read(self, since: Offsets) -> Iterable[Message]:
        ends = self.ends({topic for topic, _partition in since})
        waiting = {place for place, end in ends.items() if end > since[place]}
        consumer = self._consumer("bench-reader")
        try:
            consumer.assign([TopicPartition(*place, since[place]) for place in waiting])
            silent_since = time.monotonic()
            while waiting:
                for message in consumer.consume(FETCH, CONSUME_SECONDS):
                    silent_since = time.monotonic()
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == PARTITION_EOF:
                        waiting.discard((message.topic(), message.partition()))
                    else:
                        raise KafkaException(error)
                if time.monotonic() > silent_since + TIMEOUT_SECONDS:
                    raise BenchError("the outputs could not be read to their end")
        finally:
            consumer.close()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        """Waits for a topic that has just been made: the broker knows nothing of it at first."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            found = self._admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
            if found.error is None and found.partitions:
                return [TopicPartition(topic, number) for number in sorted(found.partitions)]
            if time.monotonic() > deadline:
                raise BenchError(f"no topic {topic}: {found.error}")
            time.sleep(CONSUME_SECONDS)

    def _consumer(self, group: str, *, isolation: str = "read_committed") -> Consumer:
        return Consumer(
            self._servers
            | {
                "group.id": group,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, TIMEOUT_SECONDS)[1])
        except KafkaException as error:
            # Nobody leads a partition in its first moments.
            if (not error.args[0].retriable() and error.args[0].code() not in NOT_YET) or time.monotonic() > deadline:
                raise
            time.sleep(CONSUME_SECONDS)


def _key(message: Message) -> bytes:
    for name, value in cast("list[tuple[str, bytes]]", message.headers() or []):
        if name == KEY_HEADER:
            return value
    raise BenchError(f"a record of {message.topic()} has no {KEY_HEADER}")


def differing(found: Counter[bytes], wanted: set[bytes], *, times: int = 1) -> str | None:
    """Tell how an output differs from every wanted key `times` times and nothing else; None: it does not. Pure."""
    missing = wanted - found.keys()
    foreign = found.keys() - wanted
    wrong = sum(1 for key, count in found.items() if count != times and key in wanted)
    if not missing and not foreign and not wrong:
        return None
    return f"{len(missing)} keys missing, {len(foreign)} that must not be there, {wrong} not exactly {times} times"
