r"""Reads records whose header names are not UTF-8, and names a batch that cannot be read.

One such name would stop its partition: Kafka's protocol says that they are UTF-8, and no broker looks. aiokafka (0.14)
raises UnicodeDecodeError out of every fetch of such a record, for ever. Here the batch is decoded again by the client's
decoder in Python, and each byte of a name that is no UTF-8 is written as `\xff`: names are nothing that we look at, but
for a few of our own.

Of a batch that cannot be read at all the client lets out whatever its codec's library raises, which may look like a
broker that is away, and no offset.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from runtime.failures import problem_of


class KeptRecords(MemoryRecords):  # type: ignore[misc]  # the client has no type information
    """Keeps the bytes, to read them again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class NamesAsText(bytearray):
    """Decodes every text, and its parts likewise."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return NamesAsText(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """As `bytes.decode`, but never raises."""
        return super().decode(encoding, errors)


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # see above
    """A record batch in which only names are decoded."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, NamesAsText):
            self._buffer = NamesAsText(self._buffer)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # see above
    """The record batches of one fetch."""

    def next_batch(self, *arguments: int) -> Any:
        """See `_MemoryRecordsPy`."""
        slice_of_batch = self._next_slice
        batch = super().next_batch(*arguments)
        return LenientBatch(slice_of_batch) if isinstance(batch, DefaultRecordBatch) else batch


class AnyRecords(PartitionRecords):  # type: ignore[misc]  # see above
    """One partition's records of one fetch, whatever their headers are called."""

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
        """Decodes the fetch again for the records from `position` on; aborted transactions are known only in order."""
        self._records = LenientRecords(self._records.data)
        self._aborted_transactions = sorted(self._aborted or [], key=lambda found: found[1])
        self._aborted_producers = set()
        return (record for record in self._unpack_records() if record.offset >= position)


def read_any_record() -> None:
    """Let every consumer of this process read them so. Safe to call again."""
    fetcher.MemoryRecords = KeptRecords
    fetcher.PartitionRecords = AnyRecords
