"""A Kafka of one partition, as far as the guarantee depends on it: a raw log, a group's offsets, one transactional id.

What it does as the real one does, and tests/contract holds both to it where a test can see it:

- `init_producer` ends whatever an earlier producer of the id left open and makes every one of them powerless.
- An offset joins a transaction without a look at who is in the group (TxnOffsetCommit version 0).
- A transaction's records and offset show only when its markers are written, some time after its end was answered. Who
  reads the records of the topic of offsets waits for that; who asks the group's coordinator does not.
- It commits what it was given: a record that was refused is the client's to notice.
- An end that was under way when its sender gave up ends whatever transaction of that epoch is open on arrival
  (KAFKA-17754).
- A coordinator of the group that crashed may show an older offset, or none, until the next one is committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.model import Written
from runtime.errors import FencedError, LogUnavailableError, PublishError
from schemas.headers import AnyHeaders
from schemas.topics import DEAD_LETTER, OFFSET, TOPICS
from tests.support.reference_model import Raw

MAX_BYTES = {topic.name: int(topic.config["max.message.bytes"]) for topic in TOPICS if topic is not OFFSET}
EACH_RECORD_BYTES = 70  # the broker's measure is of the record batch: its own head and that of the record


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of the raw log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: AnyHeaders


@dataclass(slots=True)
class Transaction:
    """What a producer has sent and not yet ended."""

    records: dict[str, list[Written]] = field(default_factory=dict)
    record: int | None = None  # on the topic of offsets
    next_offset: int | None = None  # of the group


@dataclass
class MemoryKafka:
    """One partition of the raw log, the group's offset in it, its transactional id, and what was committed."""

    partition: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    start: int = 0
    end: int = 0
    committed: int | None = None  # by the topic of offsets
    shown: int | None = None  # by the group's coordinator
    epoch: int = 0
    written: dict[str, list[Written]] = field(default_factory=dict)
    commits: list[int] = field(default_factory=list)
    open: Transaction | None = None
    ending: Transaction | None = None  # decided and answered, its markers not yet written
    prompt: bool = True  # whether markers are written before the end is answered

    def restart(self, older: int | None) -> None:
        """The broker crashed and is back; nothing is lost, but the group's coordinator shows an older offset."""
        self.shown = older

    def rewind(self, offset: int) -> None:
        """What operators' tools commit in a transaction of their own."""
        self.committed = self.shown = offset

    def read_committed(self) -> int | None:
        """The last record on the topic of offsets, when the transactions are over that were open at first."""
        self.write_markers()
        if self.open is not None and self.open.record is not None:
            raise LogUnavailableError("a transaction is open")  # for longer than we wait
        return self.committed

    def append(self, key: bytes | None, value: bytes | None, headers: AnyHeaders) -> int:
        offset = self.end
        self.records.append(StoredRecord(offset, 1_767_366_000_000 + offset, key, value, tuple(headers)))
        self.end += 1
        return offset

    def mark(self) -> None:
        """A transaction marker: an offset that no fetch returns."""
        self.end += 1

    def remove_before(self, offset: int) -> None:
        """What retention does."""
        self.start = offset
        self.records = [record for record in self.records if record.offset >= offset]

    def init_producer(self) -> int:
        """InitProducerId: the epoch of the only producer that can do anything from now on."""
        self.write_markers()
        self.open = None
        self.epoch += 1
        return self.epoch

    def produce(self, epoch: int, topic: str, records: Sequence[Written]) -> None:
        """One batch; refused as a whole if one of its records is larger than the topic takes."""
        transaction = self._transaction(epoch)
        if any(size(record) > _max_bytes(topic) for record in records):
            raise PublishError("MessageSizeTooLarge")
        transaction.records.setdefault(topic, []).extend(records)

    def add_record(self, epoch: int, next_offset: int) -> None:
        """The batch with one record for the topic of offsets."""
        self._transaction(epoch).record = next_offset

    def add_offset(self, epoch: int, next_offset: int) -> None:
        """TxnOffsetCommit."""
        self._transaction(epoch).next_offset = next_offset

    def end_transaction(self, epoch: int) -> None:
        """EndTxn with commit: decided now, to be seen when the markers are written."""
        self.ending = self._transaction(epoch)
        self.open = None
        if self.prompt:
            self.write_markers()

    def write_markers(self) -> None:
        """Let the transaction that was decided be seen."""
        if self.ending is None:
            return
        for topic, records in self.ending.records.items():
            self.written.setdefault(topic, []).extend(records)
        if self.ending.record is not None:
            self.committed = self.ending.record
            self.commits.append(self.ending.record)
        if self.ending.next_offset is not None:
            self.shown = self.ending.next_offset
        self.ending = None

    def expire(self) -> None:
        """The transaction's time is up: the coordinator aborts it, and its producer is fenced."""
        if self.open is not None:
            self.open = None
            self.epoch += 1

    def _transaction(self, epoch: int) -> Transaction:
        if epoch != self.epoch:
            raise FencedError("another process took the partition over")
        self.write_markers()  # a new transaction waits for them (ConcurrentTransactions)
        self.open = self.open or Transaction()
        return self.open

    @property
    def drained(self) -> bool:
        """Whether every record is below the committed offset."""
        return self.committed is not None and not any(r.offset >= self.committed for r in self.records)

    def as_raw(self) -> list[Raw]:
        """The log for the reference model."""
        return [Raw(self.partition, r.offset, r.key, r.value or b"", tuple(r.headers)) for r in self.records]


def size(record: Written) -> int:
    """Bytes of a record in a batch of its own, about."""
    headers = sum(len(name.encode()) + len(value or b"") + 4 for name, value in record.headers)
    return EACH_RECORD_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def _max_bytes(topic: str) -> int:
    return next((limit for name, limit in MAX_BYTES.items() if topic.endswith(name)), MAX_BYTES[DEAD_LETTER.name])
