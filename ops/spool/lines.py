"""Spooled records as lines of JSON, unmasked: pure.

Bytes are text when they are UTF-8, else `{"base64": "..."}`.
"""

from ingress.spool.model import Row
from ops.kit.files import json_of_bytes


def line_of(row: Row) -> dict[str, object]:
    """The record with everything that would be sent."""
    record = row.record
    return {
        "id": row.id,
        "spooled_at_ms": row.spooled_at,
        "topic": record.topic,
        "key": json_of_bytes(record.key),
        "headers": [[name, json_of_bytes(value)] for name, value in record.headers],
        "value": json_of_bytes(record.value),
    }
