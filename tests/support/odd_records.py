"""Records that Kafka allows and few clients write: header names that are no UTF-8."""

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class OddName(str):
    """A header name that is written as these bytes."""

    __slots__ = ("written",)
    written: bytes

    def encode(self, *_: object) -> bytes:
        return self.written


def odd_name(written: bytes) -> OddName:
    name = OddName("odd")
    name.written = written
    return name


class OddBatchBuilder(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]  # the client has no type information
    """The client's own builder in Python, which asks a name for its bytes; the one in C does not."""
