r"""Patches the Kafka client (aiokafka 0.14) where it would lose, disorder or stop records, and uses its private names.

All patches are made by one `apply()`. `runtime.kafka.client_options` calls it, so no client of ours is made before it:
neither a program nor a command has to think of it. Not when this module is imported: tests look at what the client does
by itself.

| trap | without the patch | test, in tests/unit/runtime |
|---|---|---|
| writing to a broken connection | RuntimeError ends the client's background tasks | test_kafka_connections.py |
| a coordinator that loads | taken for a group that committed nothing | test_kafka_coordinators.py |
| the next transaction | begins 20 to 100 ms late | test_kafka_transactions.py |
| asking for a topic | creates it, with the broker's defaults | test_topics.py |
| a header name that is not UTF-8 | stops its partition | test_kafka_header_names.py |
| a batch that cannot be read | looks like a broker that is away | test_kafka_unreadable.py |
"""

import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    ConcurrentTransactions,
    CorruptRecordException,
    KafkaConnectionError,
    NoError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.producer.sender import AddOffsetsToTxnHandler, AddPartitionsToTxnHandler
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from runtime.failures import problem_of

MARKERS_SECONDS = 0.005  # between two looks whether the markers of the last transaction are written


@functools.cache
def apply() -> None:
    """Patch the client's classes for this process, once however often it is called."""
    for name in ("send", "_send_sasl_token"):
        setattr(AIOKafkaConnection, name, _breaking(getattr(AIOKafkaConnection, name)))
    for owner, name in ((GroupCoordinator, "_send_req"), (AIOKafkaAdminClient, "_send_request")):
        setattr(owner, name, _hearing(getattr(owner, name)))
    for handler in (AddPartitionsToTxnHandler, AddOffsetsToTxnHandler):
        handler.handle_response = _soon(handler.handle_response)
    MetadataRequest.build = _creating_nothing(MetadataRequest.build)
    fetcher.MemoryRecords = KeptRecords
    fetcher.PartitionRecords = AnyRecords


def fetch_bare_records() -> None:
    """Let every consumer of this process give records as the client's decoder makes them: apart, since few want it.

    They have offset, timestamp, key, value and headers. The client would copy each into an object that has the topic
    and five more fields, which takes half as long again as decoding it.
    """
    PartitionRecords._consumer_record = lambda _records, _partition, record: record  # noqa: SLF001 - nowhere else


def fetch_task_error(consumer: AIOKafkaConsumer) -> BaseException | None:
    """Return what ended the task that fetches for `consumer`; the client looks at it nowhere."""
    fetching = consumer._fetcher.error_future  # noqa: SLF001
    return fetching.exception() if fetching.done() and not fetching.cancelled() else None


async def all_metadata(consumer: AIOKafkaConsumer) -> Any:
    """Ask the brokers for every topic with its partitions; the client's `topics()` has only names."""
    return await consumer._client.fetch_all_metadata()  # noqa: SLF001


async def abandon_batches(producer: AIOKafkaProducer) -> None:
    """End the task that would try to send what is left for ever; it waits for requests that are under way."""
    if producer._sender is not None:  # noqa: SLF001
        await producer._sender.close()  # noqa: SLF001


def transactions_of(producer: AIOKafkaProducer) -> Any:
    """Return the object that keeps the state of the producer's transaction."""
    return producer._txn_manager  # noqa: SLF001


async def send_request(admin: AIOKafkaAdminClient, request: Any, node: int) -> Any:
    """Send a request of our own to a broker."""
    return await admin._send_request(request, node)  # noqa: SLF001


def _breaking(write: Callable[..., Any]) -> Callable[..., Any]:
    """Make writing to a connection that has just broken a `KafkaError`, which every part of the client expects.

    uvloop raises RuntimeError there, where asyncio's own loop drops the bytes. It would end the client's background
    tasks for good: no metadata, no heartbeats, no fetches (aiokafka issue 1038).
    """

    @functools.wraps(write)
    def write_or_break(connection: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        try:
            return write(connection, *arguments, **options)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection is closed: {error}") from error

    return write_or_break


def _hearing(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Make a client hear a coordinator that answers a question for offsets with an error.

    While it loads, after a broker's crash or restart, it gives no partitions and one error for all. The client looks
    for errors at partitions only, and takes that for a group that has committed nothing.
    """

    @functools.wraps(send)
    async def send_and_hear(client: Any, request: Any, *arguments: Any) -> Any:
        response = await send(client, request, *arguments)
        if isinstance(request, OffsetFetchRequest):
            error = for_code(response.error_code)
            if error is NotCoordinatorForGroupError and isinstance(client, GroupCoordinator):
                client.coordinator_dead()
            if error is not NoError:
                raise error
        return response

    return send_and_hear


def _soon(handle: Callable[..., float | None]) -> Callable[..., float | None]:
    """Make a producer begin its next transaction as soon as the last one's markers are written.

    The end of a transaction is answered some milliseconds before that, and until then the coordinator refuses the next
    one. The client asks again after 20 ms, or 100 if the transaction has only an offset: most of the time that an event
    takes.
    """

    @functools.wraps(handle)
    def seconds_until_next_try(handler: Any, response: Any) -> float | None:
        seconds = handle(handler, response)
        busy = seconds is not None and ConcurrentTransactions.errno in _error_codes(response)
        return MARKERS_SECONDS if busy else seconds

    return seconds_until_next_try


def _error_codes(response: Any) -> set[int]:
    if hasattr(response, "error_code"):
        return {response.error_code}
    return {code for _topic, partitions in response.errors for _partition, code in partitions}


def _creating_nothing(build: Callable[..., Any]) -> Callable[..., Any]:
    """Make every client ask for topics without creating them.

    A broker with auto.create.topics.enable, Kafka's default, makes a topic that somebody asks for: with its own
    defaults, 1 partition and 7 days. The client always allows that, and has no option against it.
    """

    @functools.wraps(build)
    def build_without_leave(request: Any, request_struct_class: Any) -> Any:
        request._allow_auto_topic_creation = False  # noqa: SLF001 - the clients leave it open
        return build(request, request_struct_class)

    return build_without_leave


class KeptRecords(MemoryRecords):  # type: ignore[misc]  # the client has no type information
    """Keeps the bytes of a fetch, to read them again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class NamesAsText(bytearray):
    r"""Decodes every text, and its parts likewise, with each byte that is not UTF-8 as `\xff`."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return NamesAsText(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Decode as `bytes.decode` does, but never raise."""
        return super().decode(encoding, errors)


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # see above
    """Decodes a record batch, of which only header names are text, whatever these are made of."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, NamesAsText):
            self._buffer = NamesAsText(self._buffer)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # see above
    """Reads the record batches of one fetch as lenient ones."""

    def next_batch(self, *arguments: int) -> Any:
        slice_of_batch = self._next_slice
        batch = super().next_batch(*arguments)
        return LenientBatch(slice_of_batch) if isinstance(batch, DefaultRecordBatch) else batch


class AnyRecords(PartitionRecords):  # type: ignore[misc]  # see above
    """Gives one partition's records of one fetch whatever their headers are called, and names a batch that is corrupt.

    Kafka's protocol says that header names are UTF-8, and no broker looks. The client raises UnicodeDecodeError out of
    every fetch of such a record, for ever; here its decoder in Python reads the fetch again. Of a batch that cannot be
    read at all it lets out whatever its codec's library raises, and no offset.
    """

    _records: Any
    _records_iterator: Any
    _aborted_producers: set[int]
    _tp: Any

    def __init__(self, partition: Any, records: KeptRecords, aborted: Any, *rest: Any) -> None:
        super().__init__(partition, records, aborted, *rest)
        self._aborted = aborted

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None  # as the client does
            raise
        except UnicodeDecodeError:
            self._records_iterator = self._again(self.next_fetch_offset)
            return next(self)
        except Exception as error:
            topic, partition = self._tp
            place = f"{topic}/{partition}: the batch at offset {self.next_fetch_offset}"
            raise CorruptRecordException(f"{place} cannot be read: {problem_of(error)}") from error

    def _again(self, position: int) -> Iterator[Any]:
        """Decode the fetch again for the records from `position` on; aborted transactions are known only in order."""
        self._records = LenientRecords(self._records.data)
        self._aborted_transactions = sorted(self._aborted or [], key=lambda found: found[1])
        self._aborted_producers = set()
        return (record for record in self._unpack_records() if record.offset >= position)
