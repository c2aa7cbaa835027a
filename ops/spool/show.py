"""Shows a spool's summary as a table and lines."""

from collections.abc import Iterator

from rich.table import Table

from ops.kit.output import table
from ops.spool.read import SpoolSummary

_COLUMNS = ("topic", "endpoint", "records", "bytes", "oldest")


def tables(found: SpoolSummary) -> Iterator[Table]:
    """Yield one table, unless the spool is empty."""
    rows = [(w.topic, w.endpoint, w.records, w.bytes, w.oldest.isoformat(timespec="seconds")) for w in found.by_topic]
    if rows:
        yield table("", _COLUMNS, rows, right=("records", "bytes"))


def notes(found: SpoolSummary) -> Iterator[str]:
    """Yield how many records wait, and each file in quarantine."""
    yield f"{found.records} records wait in the spool"
    for path in found.quarantined:
        yield f"in quarantine because it was corrupt or read-only: {path}"
